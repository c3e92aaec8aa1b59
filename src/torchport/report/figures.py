"""Numbers as a reader wants them: few digits, a unit, and a dash where nothing was measured."""

from __future__ import annotations

from .. import budget

DASH = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def megabytes(value: int | None) -> str:
    """Bytes as decimal `18.7 MB`, `412 kB` or `90 B`."""
    if value is None:
        return DASH
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if value >= factor:
            return f"{_digits(value / factor)} {unit}"
    return f"{value} B"


def milliseconds(value: float | None) -> str:
    """Milliseconds to three digits."""
    return DASH if value is None else f"{_digits(value)} ms"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage, `85 %` or `99.5 %`; three digits of one below a tenth, as one over a perplexity is."""
    if value is None:
        return DASH
    return budget.percent(value) if 0 < value < 0.1 else f"{round(value * 100, digits):g} %"


def points(value: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    rounded = round(value * 100, 1)
    sign = _MINUS if rounded < 0 else "+" if rounded > 0 else ""
    return f"{sign}{abs(rounded):g} pt"


def interval(low: float, high: float) -> str:
    """The range of a difference of fractions, as in `-16.1 .. +16.1 pt` with a real minus sign."""
    return f"{points(low).removesuffix(' pt')} .. {points(high)}"


def relative(value: float) -> str:
    """A relative difference: `0`, `3.1e-06`."""
    return "0" if value == 0 else f"{value:.1e}"


def decibels(value: float) -> str:
    """A signal-to-noise ratio."""
    return f"{value:.0f} dB"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
