"""In which order rows are made, and what becomes of them when the time is up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from torchport.compress import parse
from torchport.deployment.lower import LoweringJob, LoweringResult, ordered
from torchport.deployment.rows import OUT_OF_TIME, Rows
from torchport.errors import ExportError
from torchport.system.clock import AT_LEAST_S, Clock
from torchport.timing import Measurement
from torchport.timing.candidates import doubts, eager_reference
from torchport.types import Artifact, Candidate


def row(text: str) -> LoweringJob:
    target, _, recipe = text.partition("-")
    return LoweringJob(target, parse(recipe or "fp32"))


def test_quick_targets_and_the_model_as_trained_go_first_and_parents_before_what_starts_from_them() -> None:
    rows = [
        row(text)
        for text in ("executorch", "openvino-int8_static", "openvino", "torchscript", "onnx-int8_static", "onnx")
    ]
    assert [one.id for one in ordered(rows)] == [
        "onnx-fp32", "openvino-fp32", "torchscript-fp32", "onnx-int8_static", "openvino-int8_static", "executorch-fp32",
    ]  # fmt: skip


class Work:
    """Stands for both halves of making a row: the first targets fail, and the clock is turned on with each row."""

    def __init__(self, failing: int) -> None:
        self.failing, self.limits = failing, list[float]()

    def row(self, row: LoweringJob, program: Any, limit_s: float) -> LoweringResult:
        self.limits.append(limit_s)
        artifact = Artifact(target=row.target, recipe=row.recipe.name, precision="fp32", graphs={})
        return (
            LoweringResult(row, artifact, None, 0.0)
            if len(self.limits) > self.failing
            else LoweringResult(row, None, ExportError("no"), 0.0)
        )

    def prove(self, low: LoweringResult, baselines: Any, limit_s: float) -> tuple[Candidate, list[Any] | None]:
        status = "ok" if low.artifact else "failed"
        return Candidate(
            id=low.wanted.id, target=low.wanted.target, recipe="fp32", precision="fp32", status=status
        ), [] if low.artifact else None


@pytest.mark.parametrize("failing", [0, 2])
def test_when_the_time_is_up_one_row_is_proven_and_the_others_are_not_tried(failing: int) -> None:
    work = Work(failing)
    rows = Rows(lambda chain: ExportError(""), work, work, {}, Clock(1.0, start=-1e9), 900.0, lambda *_: None)  # type: ignore[arg-type]
    rows.take([row("onnx"), row("openvino"), row("torchscript"), row("executorch")])
    assert [c.status for c in rows.candidates] == ["failed"] * failing + ["ok"] + ["absent"] * (3 - failing)
    assert rows.candidates[-1].reason == f"not tried: {OUT_OF_TIME}" and rows.stopped == OUT_OF_TIME
    assert work.limits == [900.0] * (failing + 1)
    rows.take([row("onnx"), row("pt2")])
    assert len(rows.candidates) == 5, "a row is taken once"


def test_without_a_limit_every_row_is_tried() -> None:
    work = Work(0)
    rows = Rows(lambda chain: ExportError(""), work, work, {}, Clock(), 5.0, lambda *_: None)  # type: ignore[arg-type]
    rows.take([row("onnx"), row("openvino")])
    assert [c.status for c in rows.candidates] == ["ok", "ok"] and rows.stopped == ""


def test_a_step_gets_no_more_than_what_is_left_and_never_less_than_a_little() -> None:
    assert Clock().within(900.0) == 900.0
    assert Clock(1.0, start=-1e9).within(900.0) == AT_LEAST_S
    assert 90 < Clock(100.0).within(900.0) <= 100


def test_a_timing_process_has_time_to_import_its_runtime() -> None:
    assert Clock().timing(5.0) == 120.0 and Clock().timing(900.0) == 900.0
    assert Clock(1.0, start=-1e9).timing(5.0) == 60.0


def test_a_reference_that_cannot_be_timed_is_a_warning_and_no_error(tmp_path: Path) -> None:
    eager = eager_reference({1: Measurement(error="no answer in 900 s while opening")}, 0.9, 12)
    assert (eager.latency_ms, eager.accuracy, eager.reason) == (None, 0.9, "no answer in 900 s while opening")
    assert "what was verified is kept" in doubts(None, [], {}, eager)[0]
