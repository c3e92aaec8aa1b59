"""`torchport new` writes packages that work: each passes the conformance run that it brings."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from torchport.errors import OutputError, UsageError
from torchport.jobs.new import new
from torchport.targets import Target
from torchport.tasks import Task


def run(*words: str, folder: Path) -> str:
    """The last line of a pytest run in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, *words]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # what else is installed here is no matter of theirs
    done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


def test_both_skeletons_pass_their_conformance_run(tmp_path: Path) -> None:
    target, task = new("target", "my_rt", tmp_path / "one"), new("task", "my-task", tmp_path / "two")
    assert target.files == ("pyproject.toml", "torchport_my_rt.py", "test_my_rt.py")
    said = run("one", "two", "-k", "mlp or my_task", "--rootdir", str(tmp_path), folder=tmp_path)
    assert "passed" in said and "failed" not in said and "skipped" not in said
    for folder, group, entry in (
        (target.folder, "torchport.targets", {"my_rt": "torchport_my_rt:MyRt"}),
        (task.folder, "torchport.tasks", {"my-task": "torchport_my_task:MyTask"}),
    ):
        project = tomllib.loads((Path(folder) / "pyproject.toml").read_text("utf-8"))["project"]
        assert project["entry-points"] == {group: entry}


@pytest.mark.long
def test_a_target_passes_on_every_toy(tmp_path: Path) -> None:
    new("target", "my_rt", tmp_path / "one")
    assert "failed" not in run("one", "--rootdir", str(tmp_path), folder=tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("recipe", "x", "there is no kind 'recipe'"),
        ("target", "onnx", "a target 'onnx' already"),
        ("task", "tensor", "a task 'tensor' already"),
        ("target", "My-Rt", "no name of a target"),
        ("target", "../x", "no name of a target"),
        ("target", "", "no name of a target"),
        ("task", "my_task", "no name of a task"),
    ],
)
def test_what_cannot_be_a_name_is_refused(kind: str, name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        new(kind, name, tmp_path / "it")
    assert not (tmp_path / "it").exists()


@pytest.mark.parametrize("kind", [Target, Task], ids=lambda kind: kind.__name__)
def test_contributing_names_all_that_a_class_may_say(kind: type) -> None:
    page = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text("utf-8")
    said = {name for name in (*vars(kind), *kind.__annotations__) if not name.startswith("_")}
    assert sorted(name for name in said if f"`{name}`" not in page) == []
    assert len(kind.__abstractmethods__ - {"_export"}) == (5 if kind is Task else 0), "the table says which are needed"


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="not an empty folder"):
        new("target", "my_rt", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
