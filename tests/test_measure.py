"""Who is timed again, how often, and what becomes of the times."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchport.timing import Job, Measurement, candidates, summarise, timed_by
from torchport.timing.candidates import EAGER, Opened, Pace, Workload, time_all
from torchport.types import Artifact, Signature

WORK = Workload("model", Signature(inputs=(), outputs=()), Path("feed"))


class Machine:
    """Answers in place of `measure`: the ms of every job, run by run; the last for all that follow."""

    def __init__(self, **ms: list[float]) -> None:
        self.ms, self.runs = ms, list[list[str]]()

    def measure(self, jobs: list[Job], *, rounds: int = 7, **_: object) -> dict[tuple[str, int | None], Measurement]:
        number = len(self.runs)
        self.runs.append([job.id for job in jobs])
        return {job.key: self._one(self.ms[job.id], number, rounds) for job in jobs}

    def _one(self, ms: list[float], number: int, rounds: int) -> Measurement:
        took = ms[min(number, len(ms) - 1)]
        return Measurement(error="it crashed") if took < 0 else Measurement(timing=summarise([[took]] * rounds))


@pytest.fixture
def timed():
    def run(quick: bool = False, **ms: list[float]) -> tuple[dict[str, Measurement], list[list[str]]]:
        machine = Machine(**ms)
        artifact = Artifact(target="fake", recipe="fp32", precision="fp32", graphs={})
        opened = [Opened(name, artifact, Path("folder"), () if name == EAGER else ("python",)) for name in ms]
        with timed_by(machine.measure):
            found = time_all(opened, WORK, lambda words: None, pace=Pace(quick, counts=(1,)))
        return {name: by_threads[1] for name, by_threads in found.items()}, machine.runs

    return run


def test_a_lucky_process_does_not_win(timed):
    found, runs = timed(steady=[10.0], lucky=[9.0, 11.0], slow=[20.0], **{EAGER: [60.0]})
    assert found["steady"].timing.median < found["lucky"].timing.median == 11.0
    assert runs[1:] == [["steady", "lucky"]] * candidates.RUN_OFFS
    assert (
        len(found["steady"].timing.rounds) == len(found["lucky"].timing.rounds) > len(found["slow"].timing.rounds) == 7
    )


def test_quick_is_a_moment_each_and_no_run_off(timed):
    found, runs = timed(quick=True, steady=[10.0], lucky=[9.0, 11.0])
    assert runs == [["steady", "lucky"]]
    assert [len(one.timing.rounds) for one in found.values()] == [3, 3]


@pytest.mark.parametrize(("said", "quick"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_the_environment_may_ask_for_it(said, quick, monkeypatch):
    monkeypatch.delenv(candidates.QUICK)
    if said is not None:
        monkeypatch.setenv(candidates.QUICK, said)
    assert candidates.quick_by_default() is quick


def test_nobody_runs_against_itself(timed):
    _, runs = timed(fast=[10.0], slow=[20.0])
    assert len(runs) == 1


def test_a_crash_in_a_run_off_leaves_the_times_before_it(timed):
    found, _ = timed(one=[10.0], other=[10.0, -1.0])
    assert found["other"].error is None
    assert len(found["other"].timing.rounds) == 7


def test_what_takes_long_is_timed_again_less_often(timed, monkeypatch):
    monkeypatch.setattr(candidates, "RUN_OFFS_S", -1.0)
    _, runs = timed(one=[10.0], other=[10.1])
    assert len(runs) == 1 + candidates.LEAST_RUN_OFFS
