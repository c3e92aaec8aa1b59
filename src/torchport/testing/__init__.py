"""For tests, ours and other people's: toy models that know their answers, a fake target, a timer that times nothing,
the conformance suite of targets.

`toys` needs torch; `FakeTarget` and the checks do not until they are used.
"""

from __future__ import annotations

from .case import Case, RunsElsewhere
from .conformance import expected_failure, required, target_checks
from .fake import FakeTarget, fake_program
from .timing import millisecond

__all__ = [
    "Case",
    "FakeTarget",
    "RunsElsewhere",
    "expected_failure",
    "fake_program",
    "millisecond",
    "required",
    "target_checks",
]
