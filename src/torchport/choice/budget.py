"""Budgets: what a user writes after `--budget`, read into a Budget, and said back in words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import UsageError
from ..figures import milliseconds, percent, points, size
from ..types import Budget

DEFAULT_SHARE = 0.99
EXAMPLE = 'for example --budget "accuracy>=99%, latency<=10ms, size<=8MB, memory<=200MB"'

_TERM = re.compile(
    r"(?P<axis>[a-z]+)\s*(?P<sign>[<>]=)\s*(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[a-z%]*)", re.IGNORECASE
)
_RATIO = re.compile(
    r"(?P<axis>latency|size|memory)\s*<=\s*(?P<more>\+?)\s*(?P<number>\d+(?:\.\d*)?|\.\d+)\s*%", re.IGNORECASE
)
_BYTES: dict[str, float] = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_UNITS: dict[str, dict[str, float]] = {"latency": {"us": 1e-3, "ms": 1, "s": 1e3}, "size": _BYTES, "memory": _BYTES}


def parse(text: str) -> Budget:
    """Read a budget such as `accuracy>=99%, latency<=10ms`; where it does not speak of accuracy the default is added.

    Terms, joined by commas: `accuracy>=99%` (of the reference), `accuracy>=0.91` (absolute), `accuracy<=1pt` (greatest
    drop), `agreement>=97%` (of the items, with the reference), `latency<=10ms` (us, ms, s), `size<=8MB` and
    `memory<=200MB` (B, kB, MB, GB, KiB, MiB, GiB).

    Raises:
        UsageError: anything else, or the same limit twice.
    """
    limits: dict[str, float | int] = {}
    terms = [term.strip() for term in text.split(",")]
    for term in terms:
        name, value = _limit(term)
        if name in limits:
            raise UsageError(f"the budget '{text}' sets the limit of '{term}' twice", "keep one of them")
        limits[name] = value
    if not any(name.startswith("accuracy") for name in limits):
        limits["accuracy_share"] = DEFAULT_SHARE
        terms.insert(0, f"accuracy>={DEFAULT_SHARE:.0%}")
    return Budget(text=",".join(re.sub(r"\s+", "", term) for term in terms), **limits)  # type: ignore[arg-type]


@dataclass(frozen=True)
class RelativeBudget:
    """What a new Bundle must keep beside an old one.

    Attributes:
        limits: the terms that `parse` reads; a share of accuracy, or a drop of it, is that of the old one.
        ratios: `latency`, `size` or `memory` -> greatest ratio of the new figure to the old one.
        text: all of it as it was asked for.
    """

    limits: Budget
    ratios: dict[str, float]
    text: str


def parse_relative(text: str) -> RelativeBudget:
    """Read a budget that may also speak of an old one's figures: `latency<=105%` of it, or `latency<=+5%` on top of it,
    which is the same.

    Raises:
        UsageError: as `parse`.
    """
    ratios: dict[str, float] = {}
    terms = [term.strip() for term in text.split(",")]
    found = {term: match for term in terms if (match := _RATIO.fullmatch(term))}
    for term, match in found.items():
        axis, ratio = match["axis"].lower(), float(match["number"]) / 100 + bool(match["more"])
        if axis in ratios:
            raise UsageError(f"the budget '{text}' sets the limit of '{term}' twice", "keep one of them")
        if ratio == 0:
            raise UsageError(f"the budget term '{term}' leaves nothing", EXAMPLE)
        ratios[axis] = ratio
    rest = [term for term in terms if term not in found]
    limits = parse(",".join(rest)) if rest else default()
    return RelativeBudget(limits, ratios, ",".join([limits.text, *(re.sub(r"\s+", "", term) for term in found)]))


def default() -> Budget:
    """99 % of the reference's accuracy, and nothing else."""
    return parse(f"accuracy>={DEFAULT_SHARE:.0%}")


def _limit(term: str) -> tuple[str, float | int]:
    match = _TERM.fullmatch(term.replace("µ", "u"))
    if match is None:
        raise UsageError(f"the budget term '{term}' cannot be read", EXAMPLE)
    axis, sign, number, unit = match["axis"].lower(), match["sign"], float(match["number"]), match["unit"].lower()
    if axis == "accuracy":
        return _accuracy(term, sign, number, unit)
    if axis == "agreement":
        if sign != ">=" or unit != "%" or not 0 < number <= 100:
            raise UsageError(
                f"the budget term '{term}' cannot be read",
                "agreement is the share of items answered as by the reference: agreement>=97%",
            )
        return "agreement", number / 100
    if axis not in _UNITS:
        raise UsageError(
            f"the budget term '{term}' names no known limit",
            f"limits are accuracy, agreement, latency, size, memory: {EXAMPLE}",
        )
    if sign != "<=":
        raise UsageError(f"the budget term '{term}' asks for more {axis}", f"write {axis}<=...: {EXAMPLE}")
    if unit not in _UNITS[axis]:
        units = ", ".join(("us", "ms", "s") if axis == "latency" else ("kB", "MB", "MiB", "GB"))
        raise UsageError(f"the budget term '{term}' needs a unit", f"units of {axis} are {units}: {EXAMPLE}")
    if number == 0:
        raise UsageError(f"the budget term '{term}' leaves nothing", EXAMPLE)
    value = number * _UNITS[axis][unit]
    return ("latency_ms", value) if axis == "latency" else (f"{axis}_bytes", round(value))


def _accuracy(term: str, sign: str, number: float, unit: str) -> tuple[str, float]:
    match sign, unit:
        case ">=", "%" if 0 < number <= 100:
            return "accuracy_share", number / 100
        case ">=", "" if 0 < number <= 1:
            return "accuracy_least", number
        case "<=", "pt" if number <= 100:
            return "accuracy_drop", number / 100
    raise UsageError(
        f"the budget term '{term}' cannot be read",
        "accuracy is accuracy>=99% (of the reference), accuracy>=0.91 (absolute) or accuracy<=1pt (greatest drop, in "
        "points)",
    )


def words(budget: Budget) -> str:
    """The budget as one phrase, in the order accuracy, latency, size, memory; empty when it limits nothing."""
    parts = []
    if budget.accuracy_share is not None:
        parts.append(f"at least {percent(budget.accuracy_share)} of the reference's accuracy")
    if budget.accuracy_least is not None:
        parts.append(f"accuracy of at least {percent(budget.accuracy_least)}")
    if budget.accuracy_drop is not None:
        parts.append(f"at most {points(budget.accuracy_drop)} of accuracy lost")
    if budget.agreement is not None:
        parts.append(f"at least {percent(budget.agreement)} of the items answered as by the reference")
    if budget.latency_ms is not None:
        parts.append(f"an answer within {milliseconds(budget.latency_ms)}")
    if budget.size_bytes is not None:
        parts.append(f"at most {size(budget.size_bytes)} on disk")
    if budget.memory_bytes is not None:
        parts.append(f"at most {size(budget.memory_bytes)} of memory")
    return ", ".join(parts)
