"""A child process that is started afresh, as on macOS and Windows: handed everything, with the same limits as a forked
one.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import torchport
from torchport.errors import BadInput, ExportError, UsageError
from torchport.system import isolate
from torchport.targets import targets
from torchport.targets.base import ExportOptions
from torchport.testing.toys import TOYS

NET = """
import torch

class Scaled(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x)

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Linear(10, 5), Scaled(), torch.nn.Linear(5, 2))
        self.choose = lambda y: y

    def forward(self, x):
        return self.choose(self.net(x))
"""


@pytest.fixture(autouse=True)
def started_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(isolate.START, "spawn")


def test_the_answer_comes_back_from_another_process_and_its_noise_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    secret = 3

    def work(value: int) -> tuple[int, int]:
        print("noise")
        os.write(2, b"more noise")
        return value * secret, os.getpid()

    answer, process = isolate.call(work, 7, log=log)
    assert answer == 21 and process != os.getpid()
    assert "noise" in log.read_text() and "more noise" in log.read_text()


def test_errors_come_back_as_they_do_from_a_fork(tmp_path: Path) -> None:
    def bad() -> None:
        raise BadInput("no", "try yes")

    with pytest.raises(BadInput, match="no; try yes"):
        isolate.call(bad)
    with pytest.raises(ExportError, match="ZeroDivisionError"):
        isolate.call(lambda: 1 / 0, log=tmp_path / "log")
    assert "Traceback" in (tmp_path / "log").read_text()


def test_what_crashes_or_hangs_is_an_error_that_says_so() -> None:
    with pytest.raises(ExportError, match=r"the work crashed \(SIGSEGV"):
        isolate.call(lambda: os.kill(os.getpid(), signal.SIGSEGV), what="the work")
    start = time.monotonic()
    with pytest.raises(ExportError, match="the work did not finish in 3 s"):
        isolate.call(lambda: time.sleep(60), limit_s=3.0, what="the work")
    assert time.monotonic() - start < 30


def test_what_cannot_be_handed_over_says_so() -> None:
    lock = threading.Lock()
    with pytest.raises(ExportError, match="cannot be handed to a child process"):
        isolate.call(lambda: lock.locked())


def test_a_module_that_refuses_is_left_to_its_exported_program() -> None:
    parametrized = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(4, 4))
    assert isolate.call(lambda: parametrized is None)


@pytest.mark.parametrize(
    ("platform", "asked", "found"),
    [("linux", "", "fork"), ("darwin", "", "spawn"), ("linux", "spawn", "spawn"), ("darwin", "fork", "fork")],
)
def test_how_children_are_started(platform: str, asked: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(isolate.START, asked)
    assert isolate.start_method() == found
    monkeypatch.setenv(isolate.START, "sideways")
    with pytest.raises(UsageError, match="TORCHPORT_START=sideways"):
        isolate.start_method()


@pytest.mark.parametrize("toy", ["mlp", "scripted"])
def test_a_captured_program_is_exported_there_as_here(toy: str, tmp_path: Path) -> None:
    target, program = targets.get("onnx"), TOYS[toy].program()
    found = []
    for name, how in (("here", target.export), ("there", lambda *args: isolate.call(target.export, *args))):
        (tmp_path / name).mkdir()
        artifact = how(program, tmp_path / name, ExportOptions())
        runner = target.open(artifact, tmp_path / name, program.graphs["model"].signature)
        found.append((artifact.graphs["model"].io, runner.run(program.graphs["model"].examples)))
    (io, here), (other_io, there) = found
    assert io == other_io and all(np.array_equal(here[key], there[key]) for key in here)


def test_a_whole_deploy_of_a_users_file_with_integers_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "spawned_net.py").write_text(NET)
    save_file(
        {"x": np.random.default_rng(0).standard_normal((96, 10), dtype=np.float32)}, str(tmp_path / "x.safetensors")
    )
    outcome = torchport.deploy(
        f"{tmp_path}/spawned_net.py:Net",
        tmp_path / "net.tport",
        data=tmp_path / "x.safetensors",
        targets=["onnx"],
        recipes=["fp32", "int8_static"],
        keep="all",
    )
    assert {c.id: c.status for c in outcome.choice.candidates if c.target == "onnx"} == {
        "onnx-fp32": "chosen",
        "onnx-int8_static": "ok",
    }, outcome.choice
