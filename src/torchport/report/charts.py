"""The two charts as inline SVG: its colours and fonts come from the page, so they follow light, dark and print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from ..figures import milliseconds, percent, size
from ..types import Candidate, Choice, Reference, Timing
from .markup import Html, el, join
from .phrases import Say

_WIDTH = 760.0
_CHARACTER, _BOLD = 6.8, 7.6  # mean width of one character of a chart label, in units of the drawing


@dataclass(frozen=True)
class _Dot:
    """One point of the scatter: where, called what, and how it looks."""

    id: str
    ms: float
    size: float
    accuracy: float | None
    look: str
    loss: str


@dataclass(frozen=True)
class _Box:
    """The place a label takes."""

    x: float
    y: float
    width: float
    height: float = 13.0

    def meets(self, other: _Box) -> bool:
        return (
            abs(self.x - other.x) * 2 < self.width + other.width
            and abs(self.y - other.y) * 2 < self.height + other.height
        )


def scatter(choice: Choice, reference: Reference, say: Say) -> Html | None:
    """Latency (x, logarithmic) against size (y), accuracy as colour and label; None where fewer than two have both."""
    known = [c.size_bytes for c in choice.candidates if c.latency_ms and c.size_bytes is not None]
    unit, factor = ("MB", 1e6) if max([*known, reference.size_bytes or 0]) >= 1e6 else ("kB", 1e3)
    dots = [_dot(c, choice, reference, factor) for c in choice.candidates if c.latency_ms and c.size_bytes is not None]
    if reference.latency_ms and reference.size_bytes is not None:
        dots.append(
            _Dot(
                say("original"),
                reference.latency_ms,
                reference.size_bytes / factor,
                reference.accuracy,
                "reference",
                "none",
            )
        )
    if len(dots) < 2:
        return None
    height, left, right, top, bottom = 400.0, 56.0, 28.0, 16.0, 348.0
    low, high = min(d.ms for d in dots) / 1.3, max(d.ms for d in dots) * 1.3
    step = _nice(max(d.size for d in dots) / 5)
    most = step * math.ceil(max(d.size for d in dots) * 1.08 / step)

    def x(ms: float) -> float:
        return left + (_WIDTH - left - right) * math.log(ms / low) / math.log(high / low)

    def y(size: float) -> float:
        return bottom - (bottom - top) * size / most

    drawn: list[Html] = []
    for at in (step * i for i in range(round(most / step) + 1)):
        drawn += [_rule(left, y(at), _WIDTH - right, y(at)), _label(left - 8, y(at) + 4, f"{at:g}", anchor="end")]
    for ms in _ticks(low, high):
        drawn += [_rule(x(ms), top, x(ms), bottom), _label(x(ms), bottom + 18, f"{ms:g}", anchor="middle")]
    drawn.append(_label((left + _WIDTH - right) / 2, height - 12, say("axis_latency"), anchor="middle"))
    drawn.append(
        el(
            "text",
            say("axis_size", unit=unit),
            x=14,
            y=top + (bottom - top) / 2,
            class_="axis",
            text_anchor="middle",
            transform=f"rotate(-90 14 {top + (bottom - top) / 2:g})",
        )
    )
    front = _lower_left([d for d in dots if d.look in ("chosen", "best")])
    if len(front) > 1:
        drawn.append(el("polyline", points=" ".join(f"{x(d.ms):.1f},{y(d.size):.1f}" for d in front), class_="front"))
    places = {dot: (x(dot.ms), y(dot.size)) for dot in dots}
    for dot, (cx, cy) in places.items():
        about = f"{dot.id}: {milliseconds(dot.ms)}, {size(dot.size * factor)}, {percent(dot.accuracy)}"
        if dot.look == "chosen":
            drawn.append(el("circle", cx=cx, cy=cy, r=11, class_="ring"))
        drawn.append(el("circle", el("title", about), cx=cx, cy=cy, r=6, class_=f"dot {dot.look} loss-{dot.loss}"))
    return _svg(height, say("scatter"), [*drawn, *_labels(places)])


def legend(say: Say) -> Html:
    """What the colours and the line of the scatter mean."""
    keys = [
        el("span", el("i", class_=f"key loss-{loss}"), " ", say(f"loss_{loss}"))
        for loss in ("none", "small", "large", "unknown")
    ]
    return el("p", *keys, el("span", el("i", class_="key line"), " ", say("front")), class_="legend")


def bars(candidates: Sequence[Candidate], reference: Reference, say: Say) -> Html | None:
    """Median latency of every candidate and of the reference, with the spread of the raw times."""
    rows: list[tuple[str, str, Timing]] = [(c.id, c.status, c.latency_ms) for c in candidates if c.latency_ms]
    if reference.latency_ms:
        rows.append(
            (
                say("original"),
                "reference",
                reference.latency or Timing(median=reference.latency_ms, p90=reference.latency_ms, noise=0.0),
            )
        )
    if not rows:
        return None
    rows.sort(key=lambda row: row[2].median)
    left, right, pitch = 16 + _CHARACTER * max(len(row[0]) for row in rows), _CHARACTER * 26, 28.0
    bottom = 8 + pitch * len(rows)
    spans = {row[0]: _middle(row[2]) for row in rows}
    most = max(max(row[2].median, spans[row[0]][1], *(median(r) for r in row[2].rounds if r)) for row in rows)
    step = _nice(most / 6)

    def x(ms: float) -> float:
        return left + (_WIDTH - left - right) * ms / most

    drawn: list[Html] = []
    for ms in (step * i for i in range(int(most / step) + 1)):
        drawn += [_rule(x(ms), 4, x(ms), bottom), _label(x(ms), bottom + 16, f"{ms:g}", anchor="middle")]
    for i, (name, status, timing) in enumerate(rows):
        middle = 8 + pitch * i + pitch / 2
        low, high = spans[name]
        drawn += [
            _label(left - 8, middle + 4, name, anchor="end", kind="label strong" if status == "chosen" else "label"),
            el(
                "rect",
                el("title", f"{name}: {milliseconds(timing.median)}"),
                x=left,
                y=middle - 8,
                width=max(x(timing.median) - left, 1.0),
                height=16,
                rx=3,
                class_=f"bar {status}",
            ),
            el("line", x1=x(low), y1=middle, x2=x(high), y2=middle, class_="spread"),
            *(el("circle", cx=x(median(r)), cy=middle, r=2.5, class_="round") for r in timing.rounds if r),
            _label(
                x(max(timing.median, high, *(median(r) for r in timing.rounds if r))) + 10,
                middle + 4,
                f"{milliseconds(timing.median)}  ({say('p90', value=milliseconds(timing.p90))})",
            ),
        ]
    drawn.append(_label((left + _WIDTH - right) / 2, bottom + 34, say("axis_ms"), anchor="middle"))
    return _svg(bottom + 44, say("bars"), drawn)


def _dot(candidate: Candidate, choice: Choice, reference: Reference, factor: float) -> _Dot:
    assert candidate.latency_ms is not None and candidate.size_bytes is not None
    value = candidate.accuracy.value if candidate.accuracy else None
    if value is None or reference.accuracy is None:
        loss = "unknown"
    else:
        # A rounding error of the mean is not a loss.
        lost = reference.accuracy - value
        loss = "none" if lost <= 1e-9 else "small" if lost <= 0.01 + 1e-9 else "large"
    look = "chosen" if candidate.id == choice.chosen else "best" if candidate.id in choice.front else "dominated"
    return _Dot(candidate.id, candidate.latency_ms.median, candidate.size_bytes / factor, value, look, loss)


def _lower_left(dots: Sequence[_Dot]) -> list[_Dot]:
    """The dots that no other beats on both axes, by rising latency."""
    kept: list[_Dot] = []
    for dot in sorted(dots, key=lambda d: (d.ms, d.size)):
        if not kept or dot.size < kept[-1].size:
            kept.append(dot)
    return kept


def _labels(places: dict[_Dot, tuple[float, float]]) -> list[Html]:
    """A label beside each dot, on the first side where it meets neither a label, a dot nor the edge; else further
    down.
    """
    taken = [_Box(cx, cy, _room(dot), _room(dot)) for dot, (cx, cy) in places.items()]
    drawn = []
    for dot, (cx, cy) in sorted(places.items(), key=lambda place: place[1][1]):
        words = dot.id if dot.accuracy is None else f"{dot.id}  {percent(dot.accuracy)}"
        strong = dot.look == "chosen"
        width, away = (_BOLD if strong else _CHARACTER) * len(words), _room(dot) / 2 + 4
        places_of = [
            ("start", cx + away, cy),
            ("middle", cx, cy - away - 8),
            ("middle", cx, cy + away + 8),
            ("end", cx - away, cy),
        ]
        places_of += [
            (anchor, cx + way * away, cy + 14 * i)
            for i in (1, -1, 2, -2, 3, -3, 4, -4)
            for anchor, way in (("start", 1), ("end", -1))
        ]
        shift = {"start": width / 2, "middle": 0.0, "end": -width / 2}
        boxes = [(anchor, at, _Box(at + shift[anchor], by, width)) for anchor, at, by in places_of]
        free = [one for one in boxes if _inside(one[2]) and not any(one[2].meets(other) for other in taken)]
        anchor, at, box = free[0] if free else boxes[0]
        taken.append(box)
        drawn.append(_label(at, box.y + 4, words, anchor=anchor, kind="label strong" if strong else "label"))
    return drawn


def _room(dot: _Dot) -> float:
    """The side of the square that a dot takes, with its ring."""
    return 24.0 if dot.look == "chosen" else 16.0


def _inside(box: _Box) -> bool:
    return box.x - box.width / 2 > 56 and box.x + box.width / 2 < _WIDTH and 12 < box.y < 342


def _middle(timing: Timing) -> tuple[float, float]:
    """The range of the middle 80 % of all calls; without raw times, the median to p90."""
    calls = [ms for one in timing.rounds for ms in one]
    if len(calls) < 2:
        return timing.median, timing.p90
    tenths = quantiles(calls, n=10, method="inclusive")
    return tenths[0], tenths[-1]


def _nice(step: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not below a step."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def _ticks(low: float, high: float) -> list[float]:
    """Round values on a logarithmic axis: 1, 2, 5 of each power of ten, every digit where that leaves too few."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    return next(
        ticks
        for digits in ((1, 2, 5), (1, 2, 3, 5, 7), range(1, 10))
        if len(ticks := [d * p for p in powers for d in digits if low <= d * p <= high]) >= 4 or len(digits) == 9
    )


def _rule(x1: float, y1: float, x2: float, y2: float) -> Html:
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="rule")


def _label(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "label") -> Html:
    return el("text", words, x=x, y=y, text_anchor=anchor, class_=kind)


def _svg(height: float, title: str, drawn: Sequence[Html]) -> Html:
    return el(
        "div",
        el("svg", join(drawn), viewBox=f"0 0 {_WIDTH:g} {height:g}", role="img", aria_label=title),
        class_="chart",
    )
