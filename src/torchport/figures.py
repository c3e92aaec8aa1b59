"""Figures as people read them: three digits, a unit, never an exponent, and a dash where nothing was measured. Tables,
budgets and reports all write them through here.
"""

from __future__ import annotations

from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .types import Choice, Reference

DASH = "\N{EN DASH}"
"""What stands for a figure that was not measured."""

_MINUS = "\N{MINUS SIGN}"


def size(count: float | None) -> str:
    """Bytes in decimal units: `90 B`, `4.2 kB`, `500 kB`, `18.7 MB`, `1.5 GB`."""
    if count is None:
        return DASH
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= factor * (1 - 5e-4):  # 999,600 bytes round to 1 MB, not to 1000 kB
            return f"{number(count / factor)} {unit}"
    return f"{count:.0f} B"


def milliseconds(value: float | None) -> str:
    """A time: `5.72 ms`, `0.0213 ms`, `1250 ms`; microseconds where a millisecond has too many noughts, as in `0.5
    us`.
    """
    if value is None:
        return DASH
    return f"{number(value * 1e3)} us" if 0 < abs(value) < 1e-3 else f"{number(value)} ms"


def percent(value: float | None, places: int = 1) -> str:
    """A fraction: `90 %`, `99.5 %`, never `100 %` of what is less; three digits of one below a tenth, as one over a
    perplexity is: `0.904 %`.

    Args:
        places: digits behind the point at most; two where two shares stand side by side that may differ by little.
    """
    if value is None:
        return DASH
    if 0 < abs(value) < 0.1:
        return f"{number(value * 100)} %"
    return f"{min(value * 100, 99.99):.2f} %" if 0.9995 <= value < 1 else f"{round(value * 100, places):g} %"


def points(value: float) -> str:
    """A difference of accuracies (a fraction) in words: `1.5 points`, `1 point`."""
    text = f"{value * 100:.2g}" if abs(value) < 0.1 else f"{value * 100:.1f}"
    return f"{text} point" if text == "1" else f"{text} points"


def signed_points(value: float) -> str:
    """A difference of fractions in percentage points with a real minus sign: `+0.4 pt`, `0 pt`."""
    rounded = round(value * 100, 1)
    sign = _MINUS if rounded < 0 else "+" if rounded > 0 else ""
    return f"{sign}{abs(rounded):g} pt"


def interval(low: float, high: float) -> str:
    """The range of a difference of fractions, as in `-16.1 .. +16.1 pt` with a real minus sign."""
    return f"{signed_points(low).removesuffix(' pt')} .. {signed_points(high)}"


def relative(value: float) -> str:
    """A relative difference, which is small: `0`, `3.1e-06`."""
    return "0" if value == 0 else f"{value:.1e}"


def decibels(value: float) -> str:
    """A signal-to-noise ratio: `26 dB`, `25.6 dB`."""
    return f"{number(value)} dB"


def seconds(value: float) -> str:
    """A length of time: `900 s`, `0.5 s`."""
    return f"{number(value)} s"


def multiple(ratio: float) -> str:
    """How many times one figure is another: `1.26x`, `1250x`."""
    return f"{number(ratio)}x"


def change(old: float, new: float) -> str:
    """How much more or less a figure is, in per cent of the old one: `+3.2 %`, `-50.0 %`."""
    return f"{100 * (new / old - 1):+.1f} %"


def count(number: int, noun: str) -> str:
    """How many of something: `1 variant`, `3 variants`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def number(value: float) -> str:
    """Three significant digits without an exponent; whole numbers of more digits stay whole: `1250`, `18.7`, `0.0213`,
    `8`.
    """
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{Decimal(f'{value:.3g}'):f}"


def choice_summary(choice: Choice) -> str:
    """A Choice on one line."""
    rows = len(choice.candidates)
    return (
        f"<Choice {choice.chosen or 'nothing'} of {rows} {'candidate' if rows == 1 else 'candidates'}, budget met: "
        f"{choice.met}>"
    )


def choice_table(choice: Choice, reference: Reference | None = None) -> str:
    """The candidate table as HTML: the chosen row first, then by latency."""
    heads = ("variant", "size", "latency", "accuracy", "status", "why not")
    ordered = sorted(
        choice.candidates,
        key=lambda c: (c.id != choice.chosen, c.latency_ms.median if c.latency_ms else float("inf"), c.id),
    )
    rows = [
        (
            c.id,
            size(c.size_bytes),
            milliseconds(c.latency_ms.median if c.latency_ms else None),
            f"{percent(c.accuracy.value)} of {c.accuracy.items}" if c.accuracy else DASH,
            c.word,
            c.reason or "",
        )
        for c in ordered
    ]
    if reference is not None:
        rows.append(
            (
                "eager",
                size(reference.size_bytes),
                milliseconds(reference.latency_ms),
                percent(reference.accuracy),
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
