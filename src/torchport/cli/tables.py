"""The tables that people read, made with rich, which is loaded only for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import budget
from ..documents import DiffDocument, VariantSize
from ..types import Accuracy, Candidate, Choice, Reference

SHOWN_ANSWERS = 20


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, wrap: Sequence[str] = ()) -> None:
    """Print a table on standard output, as wide as it needs to be where that is not a terminal."""
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold" if column in wrap else "ellipsis", no_wrap=column not in wrap)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False).print(table)


def candidates(choice: Choice, reference: Reference) -> None:
    """The candidate table: the chosen row first, then by latency, with the eager model as the last row."""
    order = {"chosen": 0, "ok": 1, "rejected": 2, "failed": 3, "absent": 4}
    rows = sorted(choice.candidates, key=lambda c: (order[c.status], c.latency_ms.median if c.latency_ms else 1e9, c.id))
    cells = [[c.target, c.recipe, size(c.size_bytes), latency(c), accuracy(c), parity(c), memory(c.memory_bytes), c.status, c.reason or ""] for c in rows]
    eager = ["eager", "-", size(reference.size_bytes), ms(reference.latency_ms), percent(reference.accuracy), "reference", "", "", ""]
    show("", ["target", "recipe", "size", "latency", "accuracy", "parity", "memory", "chosen", "why not"], [*cells, eager], wrap=["why not"])


def size(count: int | None) -> str:
    """Bytes as MB or kB."""
    if count is None:
        return ""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def memory(count: int | None) -> str:
    """Bytes of memory as MB."""
    return "" if count is None else f"{count / 1e6:.0f} MB"


def ms(value: float | None) -> str:
    """Milliseconds with three figures."""
    return "" if value is None else f"{value:.3g} ms"


def percent(value: float | None) -> str:
    """A fraction as per cent; nothing where there is none."""
    return "" if value is None else budget.percent(value)


def latency(c: Candidate) -> str:
    """Median with the threads it was taken with."""
    return f"{ms(c.latency_ms.median)} ({c.threads} thr)" if c.latency_ms else ""


def accuracy(c: Candidate) -> str:
    """Value, items and the interval of the paired difference, in points; after it that on items that chose nothing."""
    if c.accuracy is None:
        return ""
    return f"{_accuracy(c.accuracy)}; test {_accuracy(c.test)}" if c.test else _accuracy(c.accuracy)


def _accuracy(one: Accuracy) -> str:
    low, high = one.interval
    return f"{percent(one.value)} of {one.items} [{100 * low:+.1f}, {100 * high:+.1f}]"


def parity(c: Candidate) -> str:
    """The worst relative difference of the model graph; of a row with a reference of its own, also its distance to the model as trained."""
    if c.parity is None or not c.parity.ok:
        return "" if c.parity is None else "FAILED"
    if c.distance is None:
        return f"{c.parity.max_rel:.0e}"
    trained = "equal" if c.distance.snr_db is None else f"{c.distance.snr_db:.0f} dB"
    return f"{c.parity.max_rel:.0e} own; {trained} to trained"


def verdicts(rows: Sequence[Any]) -> None:
    """The table of `verify`."""
    cells = [[r.id, r.status, "" if r.max_rel is None else f"{r.max_rel:.1e}", "" if r.snr_db is None else f"{r.snr_db:.0f} dB", r.reason or ""] for r in rows]
    show("", ["variant", "status", "max_rel", "SNR", "reason"], cells, wrap=["reason"])


def sizes(rows: Sequence[VariantSize]) -> None:
    """The table of `pack`."""
    cells = [[r.id, size(r.size_bytes), size(r.download_bytes), size(r.decoded_bytes), memory(r.memory_bytes)] for r in rows]
    show("", ["variant", "on disk", "to download", "opened", "memory"], cells)


def difference(found: DiffDocument) -> None:
    """The tables of `diff`: the figures, then the answers that changed."""
    old, new = found.old, found.new
    low, high = found.interval
    rows = [
        [found.metric, percent(old.accuracy), percent(new.accuracy), f"{100 * found.accuracy_change:+.1f} points of {found.items} items [{100 * low:+.1f}, {100 * high:+.1f}]"],
        ["latency", ms(old.latency_ms.median), ms(new.latency_ms.median), f"{change(old.latency_ms.median, new.latency_ms.median)} ({_SPEED[found.speed]})"],
        ["size on disk", size(old.size_bytes), size(new.size_bytes), change(old.size_bytes, new.size_bytes)],
        ["to download", size(old.download_bytes), size(new.download_bytes), change(old.download_bytes, new.download_bytes)],
        ["memory", memory(old.memory_bytes), memory(new.memory_bytes), change(old.memory_bytes, new.memory_bytes)],
        ["answered alike", "", percent(found.agreement), ""],
    ]
    show("", ["", f"{old.variant} (old)", f"{new.variant} (new)", "change"], rows)
    marks = {True: " (right)", False: " (wrong)", None: ""}
    cells = [[one.item, one.label or "", f"{one.old or 'no answer'}{marks[one.old_right]}", f"{one.new or 'no answer'}{marks[one.new_right]}"] for one in found.changed[:SHOWN_ANSWERS]]
    if cells:
        more = len(found.changed) - len(cells)
        show(f"answers that changed{f' ({more} more with --json)' if more else ''}", ["item", "label", "old", "new"], cells, wrap=["item", "label", "old", "new"])


_SPEED = {"faster": "faster", "slower": "slower", "not shown": "no more than equal files differ by"}


def change(old: float | None, new: float | None) -> str:
    """How much more or less the new figure is, in per cent of the old one."""
    return "" if not old or new is None else f"{100 * (new / old - 1):+.1f} %"
