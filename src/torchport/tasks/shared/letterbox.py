"""How a picture of any size lies in a network's input of a fixed size, and how boxes come back. numpy and Pillow only.

| `fit` | the picture is |
|---|---|
| `letterbox` | scaled as a whole until it fits; what is left is filled with the grey `pad`, on both sides (`place`
`centre`) or at the right and below (`corner`) |
| `stretch` | scaled to the size, each side by its own factor |
| `crop` | not scaled: cut off, or filled with `pad`, at the right and below |

Scaling is that of `resize.py`; a scaled side is n * size / (the other picture side), halves up, and at least 1. The
in-graph form is `letterbox_graphs`.
"""

from __future__ import annotations

import numpy as np

from . import pictures, resize
from .detection_facts import DetectionFacts
from .resize import Axis


def axes(facts: DetectionFacts, height: int, width: int) -> tuple[Axis, Axis]:
    """The vertical and the horizontal axis: a negative offset is the filled part before the picture."""
    sizes = facts.size
    if facts.fit == "crop":
        return Axis(height, height, 0, sizes[0]), Axis(width, width, 0, sizes[1])
    scaled = sizes if facts.fit == "stretch" else _scaled(sizes, height, width)
    offsets = [
        round((new - size) / 2) if facts.place == "centre" else 0 for new, size in zip(scaled, sizes, strict=True)
    ]
    vertical, horizontal = (Axis(*axis) for axis in zip((height, width), scaled, offsets, sizes, strict=True))
    return vertical, horizontal


def _scaled(sizes: tuple[int, ...], height: int, width: int) -> tuple[int, int]:
    """Height and width of the greatest picture of these proportions that fits."""
    if sizes[0] * width <= sizes[1] * height:
        return sizes[0], max(1, (2 * width * sizes[0] + height) // (2 * height))
    return max(1, (2 * height * sizes[1] + width) // (2 * width)), sizes[1]


def to_pixels(image: np.ndarray, facts: DetectionFacts) -> np.ndarray:
    """The model's input for one picture.

    Args:
        image: uint8 [height, width, channels] as `pictures.decode` gives it.
        facts: checked facts of `detection_facts`.

    Returns:
        float32 [1, channels, height, width], normalised, channels in the order of `color`.
    """
    vertical, horizontal = axes(facts, *image.shape[:2])
    if facts.fit == "crop":
        levels = image[: vertical.length, : horizontal.length]
    else:
        down, across = (axis._replace(offset=0, length=axis.resized) for axis in (vertical, horizontal))
        levels = resize.resampled(image, down, across, facts)
    if levels.shape[:2] != (vertical.length, horizontal.length):
        canvas = np.full((vertical.length, horizontal.length, image.shape[2]), facts.pad, levels.dtype)
        canvas[-vertical.offset :, -horizontal.offset :][: levels.shape[0], : levels.shape[1]] = levels
        levels = canvas
    return resize.normalise(levels, facts)


def to_picture(boxes: np.ndarray, facts: DetectionFacts, height: int, width: int) -> np.ndarray:
    """Boxes of the model's input as boxes of the picture, in its pixels, cut off at its edges.

    Args:
        boxes: float [n, 4] in pixels of the input.
        height, width: of the picture.
    """
    vertical, horizontal = axes(facts, height, width)
    scale = np.array([horizontal.size / horizontal.resized, vertical.size / vertical.resized] * 2)
    offset = np.array([horizontal.offset, vertical.offset] * 2)
    return inside((boxes + offset) * scale, height, width)


def inside(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes cut off at a picture's edges."""
    return np.asarray(np.clip(boxes, 0, np.array([width, height] * 2)))


def bounded(image: np.ndarray, facts: DetectionFacts, max_shape: tuple[int, ...] | None) -> np.ndarray:
    """The picture within the bounds of the in-graph form: reduced, or cut where nothing is scaled."""
    if facts.fit != "crop":
        return pictures.shrink(image, max_shape, facts.max_pixels)
    height, width = (min(size, most) for size, most in zip(facts.size, max_shape or facts.size, strict=False))
    return image[:height, :width] if image.shape[0] > height or image.shape[1] > width else image
