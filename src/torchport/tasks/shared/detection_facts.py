"""The facts of a detector. How a picture of another size gets into the network is `letterbox`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from ..facts import Mark, Reads
from ..kinds import MOST, Share, one_of, parse
from . import label_scores
from .detection_heads import AUTO, CASCADES, HEADS
from .picture_facts import GREATEST_SIDE, PixelFacts, Sides

NAMES = (AUTO, *HEADS, *CASCADES)


def _pair(value: Any) -> Any:
    """One number for both sides, or what is given."""
    side = parse(value)
    return [side, side] if isinstance(side, int | float) else side


class DetectionFacts(PixelFacts, frozen=True, kw_only=True):
    """What a detector was trained with, and what it answers."""

    size: Annotated[Sides, "Height,width of the network's input in pixels, or one number for both.", Reads(_pair)] = (
        640,
        640,
    )
    fit: Annotated[
        Literal["letterbox", "stretch", "crop"],
        "How a picture of another size gets there: letterbox (scaled as a whole, the rest filled), "
        "stretch, or crop (not scaled, cut off or filled).",
    ] = "letterbox"
    place: Annotated[
        Literal["centre", "corner"],
        "Where a letterboxed picture lies: centre or corner (filled at the right and below).",
    ] = "centre"
    pad: Annotated[int, Meta(ge=0, le=255), "Grey level that fills the rest."] = 114
    head: Annotated[
        str, one_of(*NAMES), f"What the network ends with: {AUTO} (told by its outputs), {', '.join(NAMES[1:])}."
    ] = AUTO
    stride: Annotated[int, Meta(ge=1, le=MOST), "Pixels of the input a cell of the head centers."] = 4
    box_unit: Annotated[float, Meta(ge=0), "Pixels of the input that a box of width 1 has, for the head centers."] = 1.0
    threshold: Annotated[Share, "Lowest score of an answer.", Mark.AT_PREDICT, Mark.IN_GRAPHS] = 0.5
    nms: Annotated[
        Share | Literal["auto"] | None,
        "Greatest overlap (IoU) of two boxes of one class, for non-maximum suppression; none: no "
        "suppression; auto: what is usual with the head.",
        Mark.AT_PREDICT,
        Mark.IN_GRAPHS,
        Mark.FROM_MODEL,
    ] = "auto"
    top: Annotated[int, Meta(ge=1, le=1000), "Greatest number of boxes answered.", Mark.AT_PREDICT, Mark.IN_GRAPHS] = (
        100
    )
    labels: Annotated[label_scores.Names, Mark.AT_PREDICT] = None
    min_size: Annotated[int, Meta(ge=12, le=MOST), "Smallest face that a cascade finds, in pixels."] = 20
    factor: Annotated[
        float, Meta(ge=0.1, le=0.95), "Ratio between two sizes of a cascade's pyramid.", Mark.AT_PREDICT
    ] = 0.709
    thresholds: Annotated[
        Annotated[tuple[Share, ...], Meta(min_length=3, max_length=3)],
        "Lowest score in each of a cascade's three stages.",
        Mark.AT_PREDICT,
    ] = (0.6, 0.7, 0.7)
    max_side: Annotated[
        int, Meta(ge=48, le=GREATEST_SIDE), "Longest side in pixels before a picture is reduced for a cascade."
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
