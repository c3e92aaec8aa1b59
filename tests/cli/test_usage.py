"""A mistyped call is one line with the nearest right word, a document where one is asked for, and no wait for
PyTorch.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import within

from torchport.cli import COMPLETE, VERBS
from torchport.cli.export import deploying

WRONG = [
    (["deploi"], "did you mean deploy?"),
    (["frobnicate"], "known: batch"),
    (["deploy", "--tarets", "onnx"], "did you mean --targets?"),
    (["deploy", "net.py:Net", "--targets", "onx", "-o", "x"], "did you mean onnx?"),
    (["deploy", "net.py:Net", "--recipes", "int8_wieghts", "-o", "x"], "did you mean int8_weights?"),
    (["deploy", "net.py:Net", "--task", "image-clasification", "-o", "x"], "did you mean image-classification?"),
    (
        ["deploy", "net.py:Net", "--task", "image-classification", "--set", "interpolaton=bicubic", "-o", "x"],
        "did you mean interpolation?",
    ),
    (["deploy", "net.py:Net", "--set", "interpolaton=bicubic", "-o", "x"], "did you mean interpolation?"),
    (["deploy", "net.py:Net", "--for", "sever", "-o", "x"], "did you mean server?"),
    (["deploy", "net.py:Net", "--prefer", "sice", "-o", "x"], "did you mean size?"),
    (["deploy", "net.py:Net", "--keep", "fornt", "-o", "x"], "did you mean front?"),
    (["tasks", "tensors"], "did you mean tensor?"),
    (["completion", "bsh"], "did you mean bash?"),
    (["predict"], "BUNDLE"),
    (["predict", "x.tport", "--threads", "none"], "--threads"),
]


@pytest.mark.parametrize(("words", "says"), WRONG, ids=[" ".join(words[:3]) for words, _ in WRONG])
def test_one_line_a_document_and_the_nearest_right_word(words: list[str], says: str, tmp_path: Path) -> None:
    ran = within(*words, cwd=tmp_path)
    assert ran.code == 2 and ran.err.count("\n") == 1 and ran.err.startswith("error: ") and says in ran.err
    assert set(ran.out) == {"error"} and ran.out["error"]["type"] == "UsageError"
    assert ran.out["error"]["message"] in ran.err and ran.out["error"]["hint"] in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["deploi"],
        ["deploy", "--tarets", "onnx"],
        ["deploy", "n.py:N", "--task", "tensr", "-o", "x"],
        ["deploy", "n.py:N", "--set", "rezise=3", "-o", "x"],
    ],
)
def test_nothing_heavy_is_loaded_to_say_so(words: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['torchport', *{words!r}]\nfrom torchport.cli import main\n"
        "try:\n    main(ends=False)\nexcept SystemExit:\n    pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "did you mean" in done.stderr
    assert not {"torch", "onnxruntime", "openvino", "rich"} & set(done.stdout.split())


def test_an_unknown_key_of_the_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "torchport.toml").write_text('[deploy]\nsource = "net.py:Net"\nwieghts = "w.pt"\n')
    ran = within("deploy", cwd=tmp_path)
    assert ran.code == 2 and "'deploy.wieghts'" in ran.err and "did you mean weights?" in ran.err


def test_help_needs_no_width_to_be_whole(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "torchport", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        cwd=tmp_path,
        timeout=60,
        check=True,
    )
    for verb, about in VERBS.items():
        assert verb in done.stdout and about in done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("de", ["debug", "demo", "deploy"]),
        ("deploy --tar", ["--targets"]),
        ("deploy --targets onnx,open", ["onnx,openvino"]),
        ("deploy --task image-c", ["image-classification"]),
        ("deploy --set interp", ["interpolation="]),
        ("tasks ten", ["tensor"]),
        ("completion z", ["zsh"]),
    ],
)
def test_a_shell_is_told_what_may_come_next(typed: str, offered: list[str], tmp_path: Path) -> None:
    asked = {COMPLETE: "complete_bash", "COMP_WORDS": f"torchport {typed}", "COMP_CWORD": str(len(typed.split()))}
    done = subprocess.run(
        [sys.executable, "-m", "torchport"],
        capture_output=True,
        text=True,
        env={**os.environ, **asked},
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == offered, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_script_for_a_shell_asks_this_command(shell: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "torchport", "completion", shell],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=True,
    )
    assert COMPLETE in done.stdout and "torchport" in done.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


def test_export_says_the_deploy_of_what_was_typed() -> None:
    words = shlex.split("export 'my net.py:Net' --weights w.pt --input 'x:float32[batch,3]' -o 'out dir' --json")
    assert deploying(words, Path("out dir")) == [
        "deploy",
        "my net.py:Net",
        "--weights",
        "w.pt",
        "--input",
        "x:float32[batch,3]",
        "-o",
        "out dir.tport",
    ]


def test_a_document_of_a_task_explains_it(tmp_path: Path) -> None:
    (task,) = within("tasks", "image-classification", cwd=tmp_path).out["tasks"]
    assert "sub-folder" in task["about_data"] and "most likely class" in task["about_metric"]
    assert all(
        row["about_data"] and row["about_metric"]
        for row in json.loads(json.dumps(within("tasks", cwd=tmp_path).out))["tasks"]
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["net.py:Net", "--data", "here"], 3, "there is no file 'net.py'"),
        (["torchport.testing.toys:net", "--data", "nowhere"], 3, "--data nowhere does not exist"),
        (
            [
                "torchport.testing.toys:net",
                "--task",
                "image-classification",
                "--data",
                "here",
                "--set",
                "interpolation=cubist",
            ],
            2,
            "bilinear or bicubic",
        ),
        (
            [
                "torchport.testing.toys:net",
                "--task",
                "image-classification",
                "--data",
                "here",
                "--set",
                "labels=nowhere.txt",
            ],
            2,
            "nowhere.txt",
        ),
    ],
)
def test_a_mistyped_path_or_value_is_told_before_pytorch_is_loaded(
    words: list[str], code: int, says: str, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    typed = ["torchport", "deploy", *words, "-o", "x.tport"]
    script = (
        f"import sys, os; sys.argv = {typed!r}; sys.modules['torch'] = None\nfrom torchport.cli import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert done.returncode == code and says in done.stderr, done.stderr


def test_a_checkpoint_alone_is_answered_with_what_is_in_it(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"epoch": 3, "model": {"module.fc.weight": torch.ones(2, 3)}}, tmp_path / "best.pth")
    done = subprocess.run(
        [sys.executable, "-m", "torchport", "deploy", "best.pth"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "1 tensor" in done.stderr and "module.fc.weight" in done.stderr and "epoch" in done.stderr
    assert "torchport deploy file.py:Name --weights best.pth" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["best.pth"]
