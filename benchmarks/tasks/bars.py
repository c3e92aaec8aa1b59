"""What every row must show: the share of items that the Bundle answers as eager does, how near its metric is, and how
fast it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from row import Row

TARGETS = 3


@dataclass(frozen=True)
class Bar:
    """What one row is held to.

    Attributes:
        identical: least share of identical items.
        speedup: least eager time / deployed time.
        apart: most that the deployed metric may differ from the eager one, either way.
        least, most: bounds of figures in the row's notes, by name; they are of time, and count where time does.
    """

    identical: float
    speedup: float
    apart: float = math.inf
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)


FACES = Bar(1.0, 1, apart=0)
BARS = {
    "image-classification": Bar(1.0, 2, apart=0),
    "image-classification/digits CNN": Bar(
        1.0, 1, apart=0
    ),  # half of eager's time is reading a small file, on both sides
    "image-recognition": Bar(1.0, 1, apart=0),
    "keyword-extraction": Bar(1.0, 1.5, apart=0),
    "object-detection": Bar(0.98, 1, apart=0.005, least={"frames/s": 200}),
    "object-detection/mtcnn": FACES,
    "object-detection/mtcnn-rnet-onet": FACES,
    "object-tracking": Bar(0.98, 1, apart=0.005, least={"frames/s": 200}),
    "speech-recognition": Bar(1.0, 2, apart=0, most={"real-time factor": 0.15}),
    "speech-synthesis": Bar(1.0, 1.5, apart=0, least={"times real time": 4}),
    "text-classification": Bar(0.995, 4, apart=0),  # not met, and why: docs/decisions/0010-four-times-eager-on-texts.md
    "text-generation": Bar(0.99, 1.5),
    "translation": Bar(1.0, 2, apart=0),
    "voice-conversion": Bar(0.98, 1),
}
"""By task, or by task and model where one model is held to something else. What has no row here (`embedding`, `tensor`)
is held to `DEFAULT`.
"""

DEFAULT = Bar(0.98, 1)


def tasks() -> set[str]:
    """The tasks that must have a row."""
    return {name.partition("/")[0] for name in BARS}


def judge(row: Row, *, timed: bool) -> list[str]:
    """What the row falls short of, in words; nothing where it holds.

    Args:
        timed: whether the speed-up and the number of targets count; a slice has a handful of items and fewer targets.
    """
    bar = BARS.get(f"{row.task}/{row.model}") or BARS.get(row.task, DEFAULT)
    short = []
    if not row.items or row.identical < bar.identical * row.items:
        short.append(f"{row.identical}/{row.items} identical, at least {bar.identical:.1%}")
    if not abs(row.deployed - row.eager) <= bar.apart + 1e-9:
        short.append(f"{row.metric} {abs(row.deployed - row.eager):.3g} off, at most {bar.apart:g}")
    if not timed:
        return short
    if len(row.targets) < TARGETS:
        short.append(f"{len(row.targets)} targets, at least {TARGETS}")
    return short + _slow(row, bar)


def _slow(row: Row, bar: Bar) -> list[str]:
    figures = {name: float(value) for name, value in row.notes.items() if not isinstance(value, str)}
    figures = {**dict.fromkeys((*bar.least, *bar.most), math.nan), **figures, "x eager": row.speedup}
    short = [
        f"{figures[name]:.4g} {name}, at least {bound:g}"
        for name, bound in {"x eager": bar.speedup, **bar.least}.items()
        if not figures[name] >= bound
    ]
    return short + [
        f"{figures[name]:.4g} {name}, at most {bound:g}"
        for name, bound in bar.most.items()
        if not figures[name] <= bound
    ]
