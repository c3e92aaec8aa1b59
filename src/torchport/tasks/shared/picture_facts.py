"""The facts that fix how a picture becomes a model's input: parsed from text, validated, JSON-able."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import UsageError

DEFAULTS: Mapping[str, Any] = {
    "resize": 256,
    "crop": 224,
    "interpolation": "bilinear",
    "antialias": True,
    "reducing_gap": None,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "scale": 1,
    "color": "RGB",
    "max_pixels": 2**21,
}
ABOUT: Mapping[str, str] = {
    "resize": "Shortest side in pixels, 1 to 4096; or height,width in pixels, to stretch to.",
    "crop": "Side of the centre square that is kept, in pixels; none keeps all, after a stretch.",
    "interpolation": "Resampling filter: bilinear or bicubic.",
    "antialias": "true: the filter widens as the picture shrinks, as in Pillow; false: it does not, as in OpenCV.",
    "reducing_gap": "Pillow's parameter of that name: none, or a number from 1 on (usually 3.0).",
    "mean": "Subtracted from the pixels: one number, or one a channel in the order of color; of pixels in 0..1, or in "
    "0..255 with scale=255.",
    "std": "The pixels are then divided by it: one number, or one a channel; more than 0.",
    "scale": "Range of the pixels before the mean is subtracted: 1 (divided by 255) or 255 (as they are).",
    "color": "Order of the model's channels: RGB, BGR or L (greyscale).",
    "max_pixels": "A picture of more pixels is reduced by a whole factor before the in-graph preprocessing. A whole "
    "number from 1 on.",
}
GREATEST_SIDE = 4096
"""Bound of `resize` and `crop`: a mistyped size must not ask for gigabytes."""

MOST = 2**30
"""Greatest value of a whole number that a setting gives, where nothing says less."""

_WORDS: Mapping[str, Any] = {"none": None, "null": None, "true": True, "false": False}


def parse(text: Any) -> Any:
    """What a setting typed as text means: JSON, `a,b,c`, a word such as `none`, or else the text; other values stay."""
    if not isinstance(text, str):
        return text
    word = text.strip()
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    try:
        return json.loads(word)
    except ValueError:
        return [parse(part) for part in word.split(",")] if "," in word else word


def channels(facts: Mapping[str, Any]) -> int:
    """How many channels the model's input has."""
    return 1 if facts["color"] == "L" else 3


def is_free(facts: Mapping[str, Any]) -> bool:
    """Whether the pictures keep their shape: the height is fixed, and nothing is cropped."""
    return facts["crop"] is None and isinstance(facts["resize"], int)


def check(facts: Mapping[str, Any], *, free: bool = False) -> dict[str, Any]:
    """The picture facts among `facts`, parsed and in normal form (lists, ints and floats); checking twice changes
    nothing.

    Args:
        free: whether the model may take pictures of any width; see `is_free`.

    Raises:
        UsageError: an impossible value, or two values that exclude each other; the hint says what would be right.
    """
    rules: Mapping[str, Callable[[Any], Any]] = {
        "resize": _resize,
        "crop": lambda value: None if value is None else whole("crop", value, most=GREATEST_SIDE),
        "interpolation": lambda value: choice("interpolation", value, "bilinear", "bicubic"),
        "antialias": lambda value: choice("antialias", value, True, False),
        "reducing_gap": _reducing_gap,
        "scale": lambda value: choice("scale", value, 1, 255),
        "color": lambda value: choice("color", value, "RGB", "BGR", "L"),
        "max_pixels": lambda value: whole("max_pixels", value),
    }
    checked = {name: rule(parse(facts[name])) for name, rule in rules.items()}
    for name in ("mean", "std"):
        checked[name] = _per_channel(name, parse(facts[name]), channels(checked), checked["color"])
    if min(checked["std"]) <= 0:
        raise UsageError(
            f"std holds a {min(checked['std']):g}",
            "pixels are divided by it: give the standard deviation of each channel",
        )
    _check_together(checked, free)
    return checked


def _check_together(facts: Mapping[str, Any], free: bool) -> None:
    resize, crop = facts["resize"], facts["crop"]
    if is_free(facts) and not free:
        raise UsageError(
            f"resize={resize} fixes the shortest side only, and crop is none",
            f"give crop={resize}, or resize=[{resize},{resize}] to stretch",
        )
    least = resize if isinstance(resize, int) else min(resize)
    if crop is not None and crop > least:
        raise UsageError(
            f"crop {crop} is larger than the resized picture ({least})",
            f"give a crop of at most {least}, or a larger resize",
        )
    if facts["reducing_gap"] is not None and not facts["antialias"]:
        raise UsageError("reducing_gap averages pixels, antialias=false does not", "give one of the two")


def whole(name: str, value: Any, *, least: int = 1, most: int = MOST) -> int:
    """A whole number within bounds; raises UsageError."""
    is_whole = (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value == int(value)
    )
    if not is_whole or not least <= value <= most:
        raise UsageError(f"{name} is {value!r}", f"it takes a whole number, {least} to {most}")
    return int(value)


def choice(name: str, value: Any, *known: Any) -> Any:
    """One of the known values; raises UsageError."""
    for one in known:
        if value == one and isinstance(value, bool) == isinstance(one, bool):
            return one
    raise UsageError(f"{name} is {value!r}", f"it takes {' or '.join(json.dumps(one).strip(chr(34)) for one in known)}")


def _resize(value: Any) -> int | list[int]:
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise UsageError(
                f"resize is {value!r}",
                "it takes the shortest side, such as 256, or [height, width] to stretch, such as [224,224]",
            )
        return [whole("resize", side, most=GREATEST_SIDE) for side in value]
    return whole("resize", value, most=GREATEST_SIDE)


def _reducing_gap(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1.0 <= value < math.inf:
        raise UsageError(f"reducing_gap is {value!r}", "it takes none, or a number of at least 1 such as 3.0")
    return float(value)


def _per_channel(name: str, value: Any, count: int, color: str) -> list[float]:
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers):
        raise UsageError(f"{name} is {value!r}", f"it takes one number, or {count} of them, such as {name}=0.5")
    if len(numbers) == 1:
        numbers *= count
    if len(numbers) != count:
        raise UsageError(
            f"{name} has {len(numbers)} numbers, color {color} has {count}",
            "give one number for all channels, or one a channel",
        )
    return [float(n) for n in numbers]
