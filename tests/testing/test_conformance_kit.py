"""The conformance suite finds what it looks for: a good target passes, and each kind of bad one fails its own check."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from torchport.errors import UnsupportedByTarget
from torchport.frontend.program import Arrays, GraphProgram, Program
from torchport.targets.base import ExportOptions, Target
from torchport.testing import Case, FakeTarget, expected_failure, fake_program, required, target_checks
from torchport.testing.fake import SIGNATURE, FakeRunner
from torchport.testing.toys import Toy
from torchport.types import Used


class LinearToy(Toy):
    """FakeTarget's own layer as a toy: nothing to capture."""

    def program(self) -> Program:
        return fake_program()

    def expected(self, feed: Arrays) -> Arrays:
        weights = FakeTarget.weights()
        return {"y": feed["x"] @ weights["weight"] + weights["bias"]}


def not_used(*_: Any) -> Any:
    raise AssertionError("the toy is not captured")


LINEAR = LinearToy("linear", SIGNATURE, make=not_used, answer=not_used)


class Leaky(FakeTarget):
    """Writes where it was made into its file."""

    def _export(self, graph: GraphProgram, entry: Path, options: ExportOptions, *rest: Any) -> Any:
        io = super()._export(graph, entry, options, *rest)
        entry.with_suffix(".log").write_text(str(entry.parent), encoding="utf-8")
        return io


class Random(FakeTarget):
    """Writes other bytes every time."""

    def _export(self, graph: GraphProgram, entry: Path, options: ExportOptions, *rest: Any) -> Any:
        io = super()._export(graph, entry, options, *rest)
        entry.with_suffix(".id").write_bytes(os.urandom(8))
        return io


class Off(FakeTarget):
    error = 0.01


class Declines(FakeTarget):
    def _export(self, *_: Any) -> Any:
        raise UnsupportedByTarget("cannot do it")


class BatchMixer(FakeRunner):
    """Mixes the items of a batch."""

    def _run(self, feed: Arrays) -> Arrays:
        y = super()._run(feed)["y"]
        return {"y": y - y.mean(0) + y[0] if len(y) > 2 else y}


class MixesBatch(FakeTarget):
    runner = BatchMixer


class Litters(FakeTarget):
    """Caches beside the artefact."""

    class runner(FakeRunner):
        def _open(self, path: Path) -> None:
            super()._open(path)
            (path.parent / "cache.bin").write_bytes(b"")


class NeverCloses(FakeTarget):
    class runner(FakeRunner):
        def close(self) -> None:
            pass


class TakesAnything(FakeTarget):
    class runner(FakeRunner):
        def run(self, feed: Any) -> Arrays:
            return self._run({"x": np.resize(next(iter(feed.values())), (2, 4))}) if feed else {}


class SaysNothing(FakeTarget):
    class runner(FakeRunner):
        def _open(self, path: Path) -> None:
            super()._open(path)
            self.used = Used(library="", version="")


CHECKS = {check.__name__: check for check in target_checks()}


@pytest.mark.parametrize("check", target_checks(), ids=CHECKS)
def test_a_good_target_passes(check: Callable[[Case], None], tmp_path: Path) -> None:
    check(Case(FakeTarget(), LINEAR, tmp_path))


@pytest.mark.parametrize(
    ("target", "check"),
    [
        (Off(), "check_parity"),
        (Off(), "check_moved"),
        (MixesBatch(), "check_batch"),
        (MixesBatch(), "check_other_sizes"),
        (Leaky(), "check_private"),
        (Random(), "check_deterministic"),
        (Litters(), "check_leaves_folder_alone"),
        (NeverCloses(), "check_close"),
        (TakesAnything(), "check_bad_input"),
        (SaysNothing(), "check_used"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_bad_target_fails(target: Target, check: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        CHECKS[check](Case(target, LINEAR, tmp_path))


def test_a_target_that_declines_says_so_in_every_check(tmp_path: Path) -> None:
    case = Case(Declines(), LINEAR, tmp_path)
    for check in target_checks():
        with pytest.raises(UnsupportedByTarget, match="cannot do it"):
            check(case)


def test_expected_failures_are_by_check_or_by_check_and_toy() -> None:
    class Known(FakeTarget):
        xfail = {"check_private": "writes paths", "check_export[scripted]": "declines it"}

    assert expected_failure(Known(), "check_private", "mlp") == "writes paths"
    assert expected_failure(Known(), "check_export", "scripted") == "declines it"
    assert expected_failure(Known(), "check_export", "mlp") is None


def test_the_environment_names_what_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHPORT_MUST_HAVE", "onnx, openvino")
    assert [required(name) for name in ("onnx", "openvino", "pt2")] == [True, True, False]
    monkeypatch.delenv("TORCHPORT_MUST_HAVE")
    assert not required("onnx")
