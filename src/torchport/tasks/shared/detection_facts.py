"""The facts of a detector. How a picture of another size gets into the network is `letterbox`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from ...errors import UsageError
from ..facts import Mark, Reads
from ..kinds import MOST, Share, one_of, parse
from .detection_heads import AUTO, CASCADES, HEADS
from .picture_facts import GREATEST_SIDE, PixelFacts, Sides

NAMES = (AUTO, *HEADS, *CASCADES)


def _pair(value: Any) -> Any:
    """One number for both sides, or what is given."""
    side = parse(value)
    return [side, side] if isinstance(side, int | float) else side


def read_labels(value: Any) -> Any:
    """Names of classes from a list, a file with one name a line, or a COCO file; raises UsageError."""
    if isinstance(value, list | tuple):
        return [str(one) for one in value] or None
    try:
        text = Path(str(value)).read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("{"):
            categories = sorted(json.loads(text)["categories"], key=lambda one: one["id"])
            return [str(one["name"]) for one in categories]
        names = [line.strip() for line in text.rstrip().splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise UsageError(
            f"labels: '{value}' cannot be read", "give a text file with one name a line, or a COCO file with categories"
        ) from exc
    if not names:
        raise UsageError(f"labels: '{value}' is empty", "give one name a line")
    return names


class DetectionFacts(PixelFacts, frozen=True, kw_only=True):
    """What a detector was trained with, and what it answers."""

    size: Annotated[
        Sides, Meta(description="Height,width of the network's input in pixels, or one number for both."), Reads(_pair)
    ] = (640, 640)
    fit: Annotated[
        Literal["letterbox", "stretch", "crop"],
        Meta(
            description="How a picture of another size gets there: letterbox (scaled as a whole, the rest filled), "
            "stretch, or crop (not scaled, cut off or filled)."
        ),
    ] = "letterbox"
    place: Annotated[
        Literal["centre", "corner"],
        Meta(description="Where a letterboxed picture lies: centre or corner (filled at the right and below)."),
    ] = "centre"
    pad: Annotated[int, Meta(ge=0, le=255, description="Grey level that fills the rest.")] = 114
    head: Annotated[
        str,
        one_of(*NAMES),
        Meta(description=f"What the network ends with: {AUTO} (told by its outputs), {', '.join(NAMES[1:])}."),
    ] = AUTO
    stride: Annotated[int, Meta(ge=1, le=MOST, description="Pixels of the input a cell of the head centers.")] = 4
    box_unit: Annotated[
        float, Meta(ge=0, description="Pixels of the input that a box of width 1 has, for the head centers.")
    ] = 1.0
    threshold: Annotated[Share, Meta(description="Lowest score of an answer."), Mark.AT_PREDICT, Mark.IN_GRAPHS] = 0.5
    nms: Annotated[
        Share | Literal["auto"] | None,
        Meta(
            description="Greatest overlap (IoU) of two boxes of one class, for non-maximum suppression; none: no "
            "suppression; auto: what is usual with the head."
        ),
        Mark.AT_PREDICT,
        Mark.IN_GRAPHS,
        Mark.FROM_MODEL,
    ] = "auto"
    top: Annotated[
        int, Meta(ge=1, le=1000, description="Greatest number of boxes answered."), Mark.AT_PREDICT, Mark.IN_GRAPHS
    ] = 100
    labels: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Names of the classes in the order of the model's outputs: a file with one name a line, a COCO "
            "file with categories, or a list; none: classes are numbered."
        ),
        Reads(read_labels),
        Mark.AT_PREDICT,
    ] = None
    min_size: Annotated[int, Meta(ge=12, le=MOST, description="Smallest face that a cascade finds, in pixels.")] = 20
    factor: Annotated[
        float, Meta(ge=0.1, le=0.95, description="Ratio between two sizes of a cascade's pyramid."), Mark.AT_PREDICT
    ] = 0.709
    thresholds: Annotated[
        Annotated[tuple[Share, ...], Meta(min_length=3, max_length=3)],
        Meta(description="Lowest score in each of a cascade's three stages."),
        Mark.AT_PREDICT,
    ] = (0.6, 0.7, 0.7)
    max_side: Annotated[
        int,
        Meta(ge=48, le=GREATEST_SIDE, description="Longest side in pixels before a picture is reduced for a cascade."),
    ] = 1600


ASSUMED = frozenset(
    {
        "size",
        "fit",
        "place",
        "pad",
        "interpolation",
        "antialias",
        "mean",
        "std",
        "scale",
        "color",
        "threshold",
        "stride",
        "box_unit",
    }
)
"""Facts that alter an answer, so that a report says when nobody gave them."""

ONLY_CENTERS = frozenset({"stride", "box_unit"})
ONLY_CASCADES = frozenset({"min_size", "factor", "thresholds", "max_side"})
