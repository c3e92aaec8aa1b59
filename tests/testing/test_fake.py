from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from torchport.errors import ExportError, RunError
from torchport.targets.base import ExportOptions
from torchport.targets.shared.runner import Runner
from torchport.testing import FakeTarget, fake_program


class Off(FakeTarget):
    name = "off"
    error = 0.25


class Slow(FakeTarget):
    name = "slow"
    latency_ms = 20


def opened(target: FakeTarget, folder: Path) -> Runner:
    program = fake_program()
    artifact = target.export(program, folder, ExportOptions())
    return target.open(artifact, folder, program.graphs["model"].signature)


def answer(target: FakeTarget, folder: Path) -> np.ndarray:
    folder.mkdir(exist_ok=True)
    with opened(target, folder) as runner:
        return runner.run(fake_program().graphs["model"].examples)["y"]


def test_it_is_a_linear_layer(tmp_path: Path) -> None:
    weights, x = FakeTarget.weights(), fake_program().graphs["model"].examples["x"]
    assert np.array_equal(answer(FakeTarget(), tmp_path), x @ weights["weight"] + weights["bias"])


def test_error_is_max_rel(tmp_path: Path) -> None:
    right, off = answer(FakeTarget(), tmp_path / "right"), answer(Off(), tmp_path / "off")
    assert np.abs(off - right).max() / np.abs(right).max() == pytest.approx(0.25)


def test_latency_is_slept(tmp_path: Path) -> None:
    with opened(Slow(), tmp_path) as runner:
        began = time.perf_counter()
        runner.run(fake_program().graphs["model"].examples)
        assert time.perf_counter() - began >= 0.02


@pytest.mark.parametrize(("stage", "error"), [("export", ExportError), ("open", RunError), ("run", RunError)])
def test_it_fails_where_it_is_told_to(stage: str, error: type[Exception], tmp_path: Path) -> None:
    target = type("Failing", (FakeTarget,), {"fails": stage})()
    with pytest.raises(error, match="asked to fail"):
        answer(target, tmp_path)
