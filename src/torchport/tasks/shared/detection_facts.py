"""The facts of a detector: parsed from text, validated, JSON-able. How a picture of another size gets into the network
is `letterbox`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import UsageError
from . import picture_facts
from .detection_heads import AUTO, CASCADES, HEADS
from .letterbox import FITS
from .picture_facts import choice, parse, whole

DEFAULTS: Mapping[str, Any] = {
    "size": [640, 640],
    "fit": "letterbox",
    "place": "centre",
    "pad": 114,
    "interpolation": "bilinear",
    "antialias": True,
    "mean": 0.0,
    "std": 1.0,
    "scale": 1,
    "color": "RGB",
    "max_pixels": picture_facts.DEFAULTS["max_pixels"],
    "head": AUTO,
    "stride": 4,
    "box_unit": 1,
    "threshold": 0.5,
    "nms": AUTO,
    "top": 100,
    "labels": None,
    "min_size": 20,
    "factor": 0.709,
    "thresholds": [0.6, 0.7, 0.7],
    "max_side": 1600,
}

ABOUT: Mapping[str, str] = {
    "size": "Height,width of the network's input in pixels, or one number for both; 1 to 4096 each.",
    "fit": "How a picture of another size gets there: letterbox (scaled as a whole, the rest filled), stretch, or "
    "crop (not scaled, cut off or filled).",
    "place": "Where a letterboxed picture lies: centre or corner (filled at the right and below).",
    "pad": "Grey level that fills the rest, 0 to 255.",
    **{name: about for name, about in picture_facts.ABOUT.items() if name in DEFAULTS},
    "head": f"What the network ends with: {AUTO} (told by its outputs), {', '.join((*HEADS, *CASCADES))}.",
    "stride": "Pixels of the input a cell of the head centers. A whole number from 1 on.",
    "box_unit": "Pixels of the input that a box of width 1 has, for the head centers. A number, 0 or more.",
    "threshold": "Lowest score of an answer, 0 to 1.",
    "nms": "Greatest overlap (IoU, 0 to 1) of two boxes of one class, for non-maximum suppression; none: no "
    "suppression; auto: what is usual with the head.",
    "top": "Greatest number of boxes answered, 1 to 1000.",
    "labels": "Names of the classes in the order of the model's outputs: a file with one name a line, a COCO file "
    "with categories, or a list.",
    "min_size": "Smallest face that a cascade finds, in pixels, 12 or more.",
    "factor": "Ratio between two sizes of a cascade's pyramid, 0.1 to 0.95.",
    "thresholds": "Lowest score in each of a cascade's three stages, 0 to 1 each.",
    "max_side": "Longest side in pixels before a picture is reduced for a cascade, 48 to 4096.",
}

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

AT_PREDICT = frozenset({"factor", "labels", "max_pixels", "nms", "threshold", "thresholds", "top"})
ONLY_CENTERS = frozenset({"stride", "box_unit"})
ONLY_CASCADES = frozenset({"min_size", "factor", "thresholds", "max_side"})
GREATEST_TOP = 1000


def check(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts in normal form; checking twice changes nothing. Raises UsageError."""
    size = parse(facts["size"])
    sides = [size, size] if isinstance(size, int | float) else size
    pictures = picture_facts.check({**facts, "resize": sides, "crop": None, "reducing_gap": None})
    if not isinstance(pictures["resize"], list):
        raise UsageError(f"size is {size!r}", "it takes [height, width], such as [640,640]")
    checked = {"size": pictures.pop("resize"), **{name: value for name, value in pictures.items() if name in DEFAULTS}}
    return {
        **checked,
        "fit": choice("fit", parse(facts["fit"]), *FITS),
        "place": choice("place", parse(facts["place"]), "centre", "corner"),
        "pad": whole("pad", parse(facts["pad"]), least=0, most=255),
        "head": choice("head", parse(facts["head"]), AUTO, *HEADS, *CASCADES),
        "nms": nms if (nms := parse(facts["nms"])) in (AUTO, None) else number("nms", nms, 0, 1),
        "top": whole("top", parse(facts["top"]), most=GREATEST_TOP),
        "labels": _read_labels(facts["labels"]),
        "stride": whole("stride", parse(facts["stride"])),
        "box_unit": number("box_unit", parse(facts["box_unit"]), 0, math.inf),
        "threshold": number("threshold", parse(facts["threshold"]), 0, 1),
        "min_size": whole("min_size", parse(facts["min_size"]), least=12),
        "factor": number("factor", parse(facts["factor"]), 0.1, 0.95),
        "thresholds": _three("thresholds", parse(facts["thresholds"])),
        "max_side": whole("max_side", parse(facts["max_side"]), least=48, most=picture_facts.GREATEST_SIDE),
    }


def number(name: str, value: Any, least: float, most: float) -> float:
    """A number within bounds; raises UsageError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise UsageError(f"{name} is {value!r}", f"it takes a number, {least:g} to {most:g}")
    return float(value)


def _three(name: str, value: Any) -> list[float]:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise UsageError(f"{name} is {value!r}", f"it takes three numbers, such as {name}=0.6,0.7,0.7")
    return [number(name, one, 0, 1) for one in value]


def _read_labels(value: Any) -> list[str] | None:
    if value is None or isinstance(value, list | tuple):
        return list(map(str, value)) if value else None
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
