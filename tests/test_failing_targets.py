"""A target that fails, lies, crashes or hangs is a row that says so; the others go on, and without another nothing is
written.
"""

from __future__ import annotations

import faulthandler
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import torchport
from handmade import known
from torchport.bundle import Bundle
from torchport.deployment.deploy import Outcome
from torchport.errors import BudgetNotMet, ExportError, MissingDependency, ParityError, RunError, UsageError, status_of
from torchport.targets import targets
from torchport.targets.base import Arrays, Availability, ExportOptions
from torchport.testing import FakeTarget, millisecond
from torchport.testing.fake import FakeRunner
from torchport.timing import Job, Measurement, timed_by
from torchport.timing.candidates import EAGER
from torchport.timing.interleave import Key, measure
from torchport.types import Candidate


class Line(torch.nn.Module):
    """What FakeTarget computes."""

    def __init__(self) -> None:
        super().__init__()
        weights = FakeTarget.weights()
        self.weight = torch.nn.Parameter(torch.from_numpy(weights["weight"]))
        self.bias = torch.nn.Parameter(torch.from_numpy(weights["bias"]))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": x @ self.weight + self.bias}


class Liar(FakeTarget):
    name = "liar"
    error = 0.01


class NoNumber(FakeTarget):
    name = "nonumber"
    error = float("nan")


class FailsExport(FakeTarget):
    name = "failsexport"
    fails = "export"


class FailsOpen(FakeTarget):
    name = "failsopen"
    fails = "open"


class FailsRun(FakeTarget):
    name = "failsrun"
    fails = "run"


class Absent(FakeTarget):
    name = "absent"

    def available(self, *, build: bool = False) -> Availability:
        return Availability("absent", reason="librt is not installed")


def die(*_: object) -> None:
    """Crash as native code does, without pytest's own comment on it."""
    faulthandler.disable()
    os.abort()


class CrashingRunner(FakeRunner):
    where: ClassVar[str] = ""

    def _open(self, path: Path) -> None:
        if self.where == "open":
            die()
        super()._open(path)

    def _run(self, feed: Arrays) -> Arrays:
        if self.where == "run":
            die()
        if self.where == "hang":
            time.sleep(60)
        return super()._run(feed)


def crashing(at: str) -> FakeTarget:
    """A target called `crash<at>` that aborts the process at export, open or run, or hangs in run."""
    runner = type("Runner", (CrashingRunner,), {"where": at})
    made: FakeTarget = type(
        "Crash",
        (FakeTarget,),
        {"name": f"crash{at}", "runner": runner, "_export": die if at == "export" else FakeTarget._export},
    )()
    return made


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    """And a timer: the children that time would not know targets that were registered in this process."""
    made = (
        FakeTarget(),
        Liar(),
        NoNumber(),
        FailsExport(),
        FailsOpen(),
        FailsRun(),
        Absent(),
        *map(crashing, ("export", "open", "run", "hang")),
    )
    with known(*made), timed_by(millisecond):
        yield


def deploy(output: Path, *names: str, **options: Any) -> Outcome:
    return torchport.deploy(
        Line(), output, inputs=["x:float32[batch,4]"], targets=names, recipes=["fp32"], keep="all", **options
    )


def rows(outcome: Outcome) -> dict[str, Candidate]:
    return {row.target: row for row in outcome.choice.candidates}


def test_each_failure_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    names = (
        "fake",
        "liar",
        "nonumber",
        "failsexport",
        "failsopen",
        "failsrun",
        "absent",
        "crashexport",
        "crashopen",
        "crashrun",
    )
    outcome = deploy(tmp_path / "net.tport", *names)
    found = rows(outcome)
    assert {name: row.status for name, row in found.items()} == {
        name: "chosen" if name == "fake" else "absent" if name == "absent" else "failed" for name in names
    }
    assert found["fake"].parity is not None and found["fake"].parity.max_rel < 1e-6
    for name, says in {
        "liar": "model: y: max_rel 1.0e-02, allowed 1e-04",
        "nonumber": "model: y: NaN or infinity",
        "failsexport": "asked to fail when exported",
        "failsopen": "asked to fail when opened",
        "failsrun": "asked to fail when run",
        "absent": "librt is not installed; pip install torchport-absent",
        "crashexport": "the export to crashexport crashed (SIGABRT)",
        "crashopen": "crashopen-fp32 crashed (SIGABRT)",
        "crashrun": "crashrun-fp32 crashed (SIGABRT)",
    }.items():
        assert says in (found[name].reason or ""), (name, found[name].reason)
    assert found["liar"].parity is not None and found["liar"].parity.stage == "model"
    assert {name: row.failed_at for name, row in found.items() if row.failed_at} == {
        "liar": "mismatch",
        "nonumber": "mismatch",
        "failsexport": "export",
        "failsopen": "open",
        "failsrun": "run",
        "crashexport": "export",
        "crashopen": "run",
        "crashrun": "run",
    }
    with Bundle(tmp_path / "net.tport") as bundle:
        assert [v.id for v in bundle.manifest.variants] == ["fake-fp32"]
        assert len(bundle.manifest.evidence.candidates) == len(names)
    report = (tmp_path / "net.tport/report.html").read_text()
    assert "crashed (SIGABRT)" in report and "librt is not installed" in report


def test_what_hangs_is_a_row_after_the_limit(tmp_path: Path) -> None:
    outcome = deploy(tmp_path / "net.tport", "fake", "crashhang", limit_s=1.0)
    assert "did not finish in 1 s" in (rows(outcome)["crashhang"].reason or "")
    assert outcome.choice.chosen == "fake-fp32"


@pytest.mark.parametrize(
    ("names", "kind", "code"),
    [
        (("liar",), ParityError, 5),
        (("liar", "absent", "failsexport"), ParityError, 5),
        (("nonumber",), ParityError, 5),
        (("failsexport",), ExportError, 3),
        (("absent", "failsexport"), ExportError, 3),
        (("crashrun",), RunError, 3),
        (("failsopen",), RunError, 3),
        (("absent",), MissingDependency, 6),
        ((), UsageError, 2),
        (("eager",), UsageError, 2),
    ],
)
def test_without_a_single_artefact_nothing_is_written(
    tmp_path: Path, names: tuple[str, ...], kind: type[Exception], code: int
) -> None:
    with pytest.raises(kind) as caught:
        deploy(tmp_path / "net.tport", *names)
    assert status_of(caught.value).exit_code == code and all(name in str(caught.value) for name in names)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".log"] == []


def test_nothing_for_the_profile_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        BudgetNotMet, match=r"no candidate that runs on web keeps the budget: 1 does not run on web; see .*report\.html"
    ):
        deploy(tmp_path / "net.tport", "fake", profile="web")
    assert [p.name for p in tmp_path.iterdir()] == ["net.tport.report.html"]


def test_what_cannot_be_timed_is_never_chosen(tmp_path: Path) -> None:
    def crashing(jobs: Sequence[Job], /, **_: object) -> dict[Key, Measurement]:
        crashed = Measurement(error="crashed (SIGSEGV) while timed")
        return {key: one if key[0] == EAGER else crashed for key, one in millisecond(jobs).items()}

    said = r"no artefact runs here \(fake-fp32: crashed \(SIGSEGV\) while timed\)"
    with timed_by(crashing), pytest.raises(RunError, match=said):
        deploy(tmp_path / "net.tport", "fake")
    assert not (tmp_path / "net.tport").exists()


def test_the_timing_children_say_what_they_do_not_know(tmp_path: Path) -> None:
    program = torchport.capture(Line(), inputs=["x:float32[batch,4]"]).program
    artifact = targets.get("fake").export(program, tmp_path, ExportOptions())
    save_file({"x": np.zeros((1, 4), np.float32)}, str(tmp_path / "feed.safetensors"))
    job = Job(
        "fake-fp32", "fake", artifact, tmp_path, program.graphs["model"].signature, tmp_path / "feed.safetensors", 1
    )
    assert "no target 'fake'" in (measure([job])[job.key].error or "")
