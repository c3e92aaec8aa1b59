"""How a tracker is told its rules, and what moves between frames."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from ...errors import BadInput, UsageError
from ..parts import Facts, Item
from . import video
from .association import Rules

if TYPE_CHECKING:
    pass

_ANY_DISTANCE = 1e5


def rules(facts: Facts) -> Rules:
    """The facts as the tracker takes them."""
    labels = facts["labels"]
    reach = {
        labels.index(name) if labels else int(name): _ANY_DISTANCE if most is None else most
        for name, most in (facts["jump"] or {}).items()
    }
    own = {"iou": facts["track_iou"], "iou_low": facts["track_iou_low"], "wrap": facts["wrap"] or "", "jump": reach}
    return Rules(**own, **{name: facts[name] for name in ("high", "start", "buffer", "max_age", "min_hits")})


def jump(value: Any, labels: Sequence[str] | None) -> dict[str, float | None] | None:
    """The fact `jump` as {label: greatest distance in pixels, None for any}; raises UsageError for anything else."""
    if value is None:
        return None
    asked = (
        value
        if isinstance(value, dict)
        else dict.fromkeys(map(str, value if isinstance(value, list | tuple) else [value]))
    )
    for label, reach in asked.items():
        if label not in labels if labels else not str(label).isdecimal():
            raise UsageError(
                f"jump names '{label}', which is not a label",
                f"the labels are {', '.join(labels)}" if labels else "without labels, classes are numbers from 0",
            )
        if reach is not None and (
            isinstance(reach, bool) or not isinstance(reach, int | float) or not 0 < reach <= _ANY_DISTANCE
        ):
            raise UsageError(
                f"jump allows '{label}' {reach!r} pixels", 'give a list of labels, or distances, as in {"Ball": 40}'
            )
    return {label: reach if reach is None else float(reach) for label, reach in asked.items()}


def first_frames(items: Sequence[Item]) -> list[Item]:
    """Items of videos as items of their first frames."""
    return [Item(item.name, partial(first_frame, item)) for item in items]


def first_frame(item: Item) -> bytes:
    """The first frame of a video as a picture, for the detector's own reading of its input."""
    try:
        frame = next(iter(video.Clip(item.read())))
    except BadInput as exc:
        raise BadInput(f"{item.name}: {exc.message}", exc.hint) from exc
    content = io.BytesIO()
    Image.fromarray(frame).save(content, "PNG", compress_level=1)
    return content.getvalue()


def numbered(identity: int, found: Mapping[str, Any]) -> dict[str, Any]:
    """A detection with its number; hundredths of a pixel and ten-thousandths of a score are enough of it."""
    box = [round(edge, 2) for edge in found["box"]]
    return {
        "id": identity,
        "index": found["index"],
        "label": found["label"],
        "score": round(found["score"], 4),
        "box": box,
    }
