"""A timer for tests that are not about timing, which is most of a small deploy."""

from __future__ import annotations

from collections.abc import Sequence

from ..timing import Job, Measurement, summarise
from ..timing.interleave import Key


def millisecond(jobs: Sequence[Job], /, **_: object) -> dict[Key, Measurement]:
    """Every artefact answers in a millisecond, whatever it is: for `bench.timed_by`, and for `cli.main(timer=...)`."""
    return {job.key: Measurement(timing=summarise([[1.0]])) for job in jobs}
