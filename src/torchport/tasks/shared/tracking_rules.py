"""How a tracker is told its rules, and what moves between frames."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from msgspec import Meta
from PIL import Image

from ...errors import BadInput, UsageError
from ..facts import Mark, Reads
from ..kinds import MOST, Share, parse
from ..parts import Item
from . import video
from .association import Rules
from .detection_facts import DetectionFacts

_ANY_DISTANCE = 1e5


def by_label(value: Any) -> Any:
    """The fact `jump` as {label: greatest distance in pixels, None for any}, of such a table, labels, or one label."""
    asked = parse(value)
    return asked if isinstance(asked, dict) else dict.fromkeys(map(str, asked if isinstance(asked, list) else [asked]))


class TrackingFacts(DetectionFacts, frozen=True, kw_only=True):
    """A detector's facts, and how its boxes become tracks."""

    threshold: Annotated[
        Share, "Lowest score of a detection that the tracker sees at all.", Mark.AT_PREDICT, Mark.IN_GRAPHS
    ] = 0.1
    high: Annotated[Share, "Score from which a detection is matched in the first round.", Mark.AT_PREDICT] = 0.5
    start: Annotated[Share, "Score from which a detection begins a track.", Mark.AT_PREDICT] = 0.6
    track_iou: Annotated[Share, "Least overlap (IoU) of a match in the first round.", Mark.AT_PREDICT] = 0.2
    track_iou_low: Annotated[Share, "Least overlap (IoU) of a match in the second round.", Mark.AT_PREDICT] = 0.5
    buffer: Annotated[
        float,
        Meta(ge=0, le=10),
        "Share of its size by which a box grows on each side before its overlap is measured.",
        Mark.AT_PREDICT,
    ] = 0.3
    max_age: Annotated[int, Meta(ge=0, le=MOST), "Frames that a track lives on unseen.", Mark.AT_PREDICT] = 30
    min_hits: Annotated[
        int,
        Meta(ge=1, le=MOST),
        "Frames in a row in which a track must be seen before it is reported.",
        Mark.AT_PREDICT,
    ] = 2
    wrap: Annotated[
        Literal["x", "y", "xy"] | None,
        "x, y or xy: what leaves the frame at one side comes in at the other; or none.",
        Mark.AT_PREDICT,
    ] = None
    jump: Annotated[
        dict[str, float | None] | None,
        "Labels whose things may be elsewhere in the next frame: a list, or {label: greatest distance "
        "in pixels}; or none.",
        Reads(by_label),
        Mark.AT_PREDICT,
    ] = None
    detector_steps: Annotated[
        tuple[dict[str, Any], ...], "The detector's steps from a picture to its answer.", Mark.TOLD
    ] = ()


def rules(facts: TrackingFacts) -> Rules:
    """The facts as the tracker takes them."""
    labels = facts.labels
    reach = {
        labels.index(name) if labels else int(name): _ANY_DISTANCE if most is None else most
        for name, most in (facts.jump or {}).items()
    }
    return Rules(
        iou=facts.track_iou,
        iou_low=facts.track_iou_low,
        wrap=facts.wrap or "",
        jump=reach,
        high=facts.high,
        start=facts.start,
        buffer=facts.buffer,
        max_age=facts.max_age,
        min_hits=facts.min_hits,
    )


def check_jump(facts: TrackingFacts) -> None:
    """See that `jump` names labels that there are; raises UsageError."""
    labels = facts.labels
    for label, reach in (facts.jump or {}).items():
        if label not in labels if labels else not label.isdecimal():
            raise UsageError(
                f"jump names '{label}', which is not a label",
                f"the labels are {', '.join(labels)}" if labels else "without labels, classes are numbers from 0",
            )
        if reach is not None and not 0 < reach <= _ANY_DISTANCE:
            raise UsageError(
                f"jump allows '{label}' {reach:g} pixels", 'give a list of labels, or distances, as in {"Ball": 40}'
            )


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
