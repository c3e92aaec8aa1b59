"""How much time a command has left: `--time` bounds the whole of it, and each stage leaves some to the next."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

SEARCH_SHARE = 0.6
"""Share of the time after which recipes no longer train and the search ends."""

ROWS_SHARE = 0.85
"""Share of the time after which no further row is exported; the rest measures and writes."""

FULL_TIMING_S = 90.0
"""With less left than this, every candidate is timed for a moment only."""

TIMING_S, TIMING_AT_LEAST_S = 120.0, 60.0
"""Seconds that one answer of a timing process is given, whatever the limit of an export is; and however little is left.
Importing a runtime is one.
"""

AT_LEAST_S = 10.0
"""Seconds that a row which has begun is given, however little is left."""


@dataclass(frozen=True)
class Clock:
    """Counts from when it is made.

    Attributes:
        limit_s: seconds that the command may take; None is as long as it takes.
    """

    limit_s: float | None = None
    start: float = field(default_factory=time.monotonic)

    def deadline(self, share: float = 1.0) -> float | None:
        """`time.monotonic()` at which that share of the time is up."""
        return None if self.limit_s is None else self.start + share * self.limit_s

    def left(self, share: float = 1.0) -> float:
        """Seconds until that share of the time is up; negative after it."""
        deadline = self.deadline(share)
        return float("inf") if deadline is None else deadline - time.monotonic()

    def timing(self, limit_s: float) -> float:
        """The limit of one answer of a timing process in seconds, where that of an export is `limit_s`."""
        return min(max(limit_s, TIMING_S), max(TIMING_AT_LEAST_S, self.left()))

    def within(self, limit_s: float) -> float:
        """The limit of one step in seconds: no more than is left, but for `AT_LEAST_S`."""
        return min(limit_s, max(AT_LEAST_S, self.left()))
