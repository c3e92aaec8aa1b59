"""Which candidates are worth a proper timing, judged by a short one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ..figures import milliseconds
from ..types import PLAIN, Candidate

CLEARLY_SLOWER = 1.6
"""A candidate that a short timing shows this many times slower than one that is no larger is not measured properly."""


def worth_measuring(candidates: Sequence[Candidate], short_ms: Mapping[str, float]) -> list[Candidate]:
    """The candidates, with those rejected that a short timing shows to be clearly slower than one that is no larger.

    Args:
        candidates: with sizes.
        short_ms: candidate id -> median of a few calls, in milliseconds.
    """
    racing = [c for c in candidates if c.status == "ok" and c.id in short_ms]

    def beaten_by(c: Candidate) -> Candidate | None:
        return next(
            (
                o
                for o in racing
                if (o.size_bytes or 0) <= (c.size_bytes or 0)
                and set(c.profiles) <= set(o.profiles)
                and short_ms[c.id] > CLEARLY_SLOWER * short_ms[o.id]
            ),
            None,
        )

    rows = []
    for c in candidates:
        better = beaten_by(c) if c in racing and c.precision != PLAIN else None
        if better is not None:
            c = replace(
                c,
                status="rejected",
                reason=f"left out after a short timing: {milliseconds(short_ms[c.id])} against "
                f"{milliseconds(short_ms[better.id])} of {better.id}, which is no larger",
            )
        rows.append(c)
    return rows
