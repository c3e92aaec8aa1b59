"""`benchmarks/tasks` and `benchmarks/compression`: the harness on made-up scenarios, and a short slice of real ones."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "tasks"

SLICES = ("text_generation",)
"""One scenario, for the harness, of which made-up ones are in `make test`; the pages of `examples` run each kind.
`benchmarks/tasks --short` does all scenarios, in ten minutes.
"""

MADE_UP = """
import time
from pathlib import Path

from row import Row

def rows(short: bool) -> list[Row]:
    with Path("calls.txt").open("a") as calls:
        calls.write("x")
    {before}
    found = ["onnx", "openvino", "pt2"]
    return [Row("image-classification", "net", "data", "top-1", 0.5, 0.5, {identical}, 10, 3.0, found, {{"note": 1.0}})]
"""


@pytest.fixture
def harness(tmp_path):
    """A copy of the harness with no scenario yet."""
    folder = tmp_path / "benchmarks" / "tasks"
    folder.mkdir(parents=True)
    for name in ("__main__.py", "bars.py", "row.py"):
        shutil.copy(FOLDER / name, folder)
    shutil.copy(FOLDER.parent / "harness.py", folder.parent)
    return folder


def scenario(folder: Path, before: str = "pass", identical: int = 10) -> None:
    (folder / "made_up.py").write_text(MADE_UP.format(before=before, identical=identical))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, folder, *arguments], cwd=folder.parents[1], capture_output=True, text=True, check=False
    )


def test_a_scenario_is_measured_once_and_again_when_it_changes(harness):
    scenario(harness)
    root = harness.parents[1]
    for calls, arguments in ((1, ()), (1, ()), (2, ("--fresh",)), (3, ("--short",))):
        done = run(harness, "made_up", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (
            "ok    image-classification, net on data: top-1 0.5 -> 0.5, 10/10 identical, 3.00 x eager, onnx openvino "
            "pt2, note 1" in done.stdout
        )
        assert len((root / "calls.txt").read_text()) == calls
    (row,) = json.loads((root / "build" / "tasks.json").read_text())["rows"]
    assert list(row) == [
        "task",
        "model",
        "data",
        "metric",
        "eager",
        "deployed",
        "identical",
        "items",
        "speedup",
        "targets",
    ]
    scenario(harness, identical=9)
    done = run(harness, "made_up")
    assert done.returncode == 1
    assert "9/10 identical, at least 100.0%" in done.stdout


def test_a_scenario_that_fails_or_never_ends_is_told_of_and_the_rest_goes_on(harness):
    scenario(harness, before="raise FileNotFoundError('no such picture')")
    shutil.copy(harness / "made_up.py", harness / "again.py")
    (harness / "again.py").write_text(MADE_UP.format(before="time.sleep(600)", identical=10))
    (harness / "fine.py").write_text(MADE_UP.format(before="pass", identical=10))
    done = run(harness, "--limit", "8")
    assert done.returncode == 1
    assert "FAIL  again: not done after 8 s" in done.stdout
    assert "FAIL  made_up: FileNotFoundError: no such picture" in done.stdout
    assert "ok    image-classification" in done.stdout
    assert "FAIL  no row of image-recognition, " in done.stdout
    assert run(harness, "unheard_of").returncode == 2


@pytest.fixture
def bars(monkeypatch):
    """The modules of the bars and of the rows."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("bars"), importlib.import_module("row")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        (
            {"deployed": 0.985, "notes": {"frames/s": 150.0}},
            ["F1 0.006 off, at most 0.005", "150 frames/s, at least 200"],
        ),
        ({"deployed": float("nan")}, ["F1 nan off, at most 0.005"]),
        ({"notes": {}}, ["nan frames/s, at least 200"]),
        ({"speedup": 0.5, "targets": ["onnx"]}, ["1 targets, at least 3", "0.5 x eager, at least 1"]),
        ({"model": "mtcnn", "identical": 149, "notes": {}}, ["149/150 identical, at least 100.0%"]),
        (
            {"task": "speech-recognition", "speedup": 3.0, "notes": {"real-time factor": 0.2}},
            ["0.2 real-time factor, at most 0.15"],
        ),
        ({"task": "tensor", "deployed": 0.1}, []),
    ],
)
def test_what_falls_short_is_said(bars, changed, said):
    module, row = bars
    made = {
        "task": "object-detection",
        "model": "freeway",
        "data": "frames",
        "metric": "F1",
        "eager": 0.991,
        "deployed": 0.991,
    }
    made |= {
        "identical": 150,
        "items": 150,
        "speedup": 1.5,
        "targets": ["onnx", "openvino", "pt2"],
        "notes": {"frames/s": 260.0},
        **changed,
    }
    if made["model"] == "mtcnn" or made["task"] == "speech-recognition":
        made["deployed"] = made["eager"]
    assert module.judge(row.Row(**made), timed=True) == said
    assert module.judge(row.Row(**made), timed=False) == [
        one
        for one in said
        if "frames/s" not in one and "x eager" not in one and "real-time" not in one and "targets" not in one
    ]


def lacking() -> list[str]:
    """The packages of the system that the models and recordings come from, as far as they are not installed."""
    found = {
        "espeak-ng": shutil.which("espeak-ng"),
        "opencv-doc": next(Path("/usr/share/doc/opencv-doc").glob("**/digits.png*"), None),
        "pocketsphinx-testdata": next(Path("/usr/share/pocketsphinx").glob("**/*"), None),
    }
    return [name for name, place in found.items() if not place]


@pytest.mark.long
@pytest.mark.timeout(700)
@pytest.mark.parametrize("name", SLICES)
def test_a_slice_of_a_scenario(name, tmp_path):
    done = run(FOLDER, name, "--short", "--fresh", "--json", str(tmp_path / "tasks.json"))
    if done.returncode and lacking() and ("FileNotFoundError" in done.stdout or "MissingDependency" in done.stdout):
        pytest.skip(f"needs packages of the system, see scripts/system-packages; not here: {', '.join(lacking())}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_a_slice_of_the_compression(tmp_path):
    if "opencv-doc" in lacking():
        pytest.skip("needs opencv-doc: scripts/system-packages installs it; scikit-learn's digits are too few")
    written = tmp_path / "compression.json"
    done = run(FOLDER.parent / "compression", "digits_cnn", "--short", "--fresh", "--json", str(written))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [row for row in json.loads(written.read_text())["rows"] if row["model"] == "digits-cnn"]  # and kept ones
    assert row["point"] == "small"
    assert row["test_split"]
    assert row["recipe"].startswith("prune@")
    assert row["smaller"] > 10
    assert row["loss_upper"] >= row["loss"]
    assert row["items"] == 100
