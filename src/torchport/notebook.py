"""How values look in a notebook, and how progress is told there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

from . import figures

if TYPE_CHECKING:
    from .types import Choice, Reference


def in_notebook() -> bool:
    """Whether this process answers a notebook."""
    return "ipykernel" in sys.modules


def lines() -> Callable[[str, str], None]:
    """A progress callback that prints one line a stage and row on standard error: a notebook shows them as they
    come.
    """
    start, last = time.monotonic(), list[str]()

    def tell(stage: str, row: str) -> None:
        words = f"{stage}: {row}"
        if words not in last[-1:]:
            last[:] = [words]
            print(f"{time.monotonic() - start:8.1f} s  {words}", file=sys.stderr, flush=True)

    return tell


def summary(choice: Choice) -> str:
    """A Choice on one line."""
    rows = len(choice.candidates)
    return (
        f"<Choice {choice.chosen or 'nothing'} of {rows} {'candidate' if rows == 1 else 'candidates'}, budget met: "
        f"{choice.met}>"
    )


def table(choice: Choice, reference: Reference | None = None) -> str:
    """The candidate table as HTML: the chosen row first, then by latency."""
    heads = ("variant", "size", "latency", "accuracy", "status", "why not")
    ordered = sorted(
        choice.candidates,
        key=lambda c: (c.id != choice.chosen, c.latency_ms.median if c.latency_ms else float("inf"), c.id),
    )
    rows = [
        (
            c.id,
            figures.size(c.size_bytes),
            figures.milliseconds(c.latency_ms.median if c.latency_ms else None),
            f"{figures.percent(c.accuracy.value)} of {c.accuracy.items}" if c.accuracy else figures.DASH,
            c.word,
            c.reason or "",
        )
        for c in ordered
    ]
    if reference is not None:
        rows.append(
            (
                "eager",
                figures.size(reference.size_bytes),
                figures.milliseconds(reference.latency_ms),
                figures.percent(reference.accuracy),
                "reference",
                "",
            )
        )
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    said = [
        f"chosen: {choice.chosen}. {choice.why}" if choice.chosen else choice.why,
        f"budget met: {choice.met}. {choice.met_because}",
        *choice.warnings,
    ]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" + "".join(
        f"<p>{escape(one)}</p>" for one in said
    )
