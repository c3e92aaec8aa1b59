"""Resize, crop and normalise on the host: the same rule as the in-graph form of `resample.py`, by Pillow.

Per axis, a picture of length n becomes `resized` long, of which `length` pixels from `offset` on are kept. With a
shortest side S and a centre crop C: resized = floor(S * n / shortest), offset = (resized - C) / 2 rounded half to even.
Without a crop, for a model of one height and any width, S is the height, also of a picture that is higher than wide.

With antialiasing there are two passes, each rounded to whole levels, so their order shows: horizontal first, but
vertical first where the height loses more pixels than twice what the width loses. That is Pillow 13's order; here every
version keeps to it. Without antialiasing only the end is rounded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from .picture_facts import PictureFacts, PixelFacts
from .pictures import to_pillow

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
GREATEST_RESIZED = 2**23
"""Pixels of the largest picture that one pass makes in full before the crop (Pillow takes 4 bytes each)."""

CUBIC_NOT_WIDENED = -0.75
"""Parameter of the cubic kernel (R. Keys, 1981) where it is not widened, as in OpenCV and PyTorch; widened it is -0.5,
as in Pillow.
"""
HALF_UP = 0.5 + 2.0**-10
"""Added before the floor where a kernel is not widened: what is half a level but for the rounding of a sum goes up
everywhere.
"""


class Axis(NamedTuple):
    """One axis of a resize: what it measures, what it becomes, and the part that is kept, in pixels."""

    size: int
    resized: int
    offset: int
    length: int


def axes(facts: PictureFacts, height: int, width: int) -> tuple[Axis, Axis]:
    """How the vertical and the horizontal axis of a picture are resized and cropped."""
    resize, crop = facts.resize, facts.crop
    side = height if crop is None else min(height, width)
    sizes = resize if isinstance(resize, tuple) else [max(1, resize * n // side) for n in (height, width)]
    vertical, horizontal = (
        Axis(n, resized, round((resized - (crop or resized)) / 2), crop or resized)
        for n, resized in zip((height, width), sizes, strict=True)
    )
    return vertical, horizontal


def vertical_first(vertical: Axis, horizontal: Axis) -> bool:
    """Whether the vertical pass comes first: only where the height shrinks, by more than twice as many pixels as the
    width.
    """
    lost = vertical.size - vertical.resized
    return lost > 0 and lost > 2 * (horizontal.size - horizontal.resized)


def output_size(facts: PictureFacts) -> tuple[int, int]:
    """Height and width of the model's input in pixels."""
    vertical, horizontal = axes(facts, 1, 1)
    return vertical.length, horizontal.length


def to_pixels(image: np.ndarray, facts: PictureFacts) -> np.ndarray:
    """The model's input for one picture.

    Args:
        image: uint8 [height, width, channels] as `pictures.decode` gives it.
        facts: checked picture facts.

    Returns:
        float32 [1, channels, height, width], normalised, channels in the order of `color`.
    """
    levels = resampled(image, *axes(facts, *image.shape[:2]), facts, facts.reducing_gap)
    return normalise(levels, facts)


def resampled(
    image: np.ndarray, vertical: Axis, horizontal: Axis, facts: PixelFacts, gap: float | None = None
) -> np.ndarray:
    """Levels 0..255 [vertical length, horizontal length, channels] of a picture, as `interpolation`, `antialias` and
    `gap`, which is Pillow's `reducing_gap`, say.
    """
    if all(axis.size == axis.resized == axis.length for axis in (vertical, horizontal)):
        return image
    levels = (
        _by_pillow(to_pillow(image), vertical, horizontal, FILTERS[facts.interpolation], gap)
        if facts.antialias
        else _by_taps(image, vertical, horizontal, facts.interpolation)
    )
    return levels.reshape(vertical.length, horizontal.length, -1)


def normalise(levels: np.ndarray, facts: PixelFacts) -> np.ndarray:
    """float32 [1, channels, height, width] of levels 0..255 [height, width, channels]."""
    if facts.color == "BGR":
        levels = levels[:, :, ::-1]
    pixels = np.ascontiguousarray(levels.transpose(2, 0, 1)[None], dtype=np.float32)
    if facts.scale == 1:
        pixels /= np.float32(255)
    pixels -= np.array(facts.mean, np.float32)[:, None, None]
    pixels /= np.array(facts.std, np.float32)[:, None, None]
    return pixels


def _by_pillow(
    picture: Image.Image, vertical: Axis, horizontal: Axis, method: Image.Resampling, gap: float | None
) -> np.ndarray:
    # Pillow places the reduction's grid by the whole picture. A strip too long for that is resized without: the gap
    # only saves time.
    if gap is not None and horizontal.resized * vertical.resized <= GREATEST_RESIZED:
        left, top = horizontal.offset, vertical.offset
        resized = picture.resize((horizontal.resized, vertical.resized), method, reducing_gap=gap)
        return np.asarray(resized.crop((left, top, left + horizontal.length, top + vertical.length)))
    if vertical_first(vertical, horizontal):
        return np.asarray(_across(_down(picture, vertical, method), horizontal, method))
    return np.asarray(_down(_across(picture, horizontal, method), vertical, method))


def _across(picture: Image.Image, axis: Axis, method: Image.Resampling) -> Image.Image:
    height = picture.height
    if axis.resized * height > GREATEST_RESIZED:
        left, right = _span(axis)
        return picture.resize((axis.length, height), method, (left, 0, right, height))
    return picture.resize((axis.resized, height), method).crop((axis.offset, 0, axis.offset + axis.length, height))


def _down(picture: Image.Image, axis: Axis, method: Image.Resampling) -> Image.Image:
    width = picture.width
    if axis.resized * width > GREATEST_RESIZED:
        top, bottom = _span(axis)
        return picture.resize((width, axis.length), method, (0, top, width, bottom))
    return picture.resize((width, axis.resized), method).crop((0, axis.offset, width, axis.offset + axis.length))


def _span(axis: Axis) -> tuple[float, float]:
    """Where the kept part lies in the picture, in its pixels; Pillow holds such positions as float32, so whole passes
    are the rule.
    """
    return axis.offset * axis.size / axis.resized, (axis.offset + axis.length) * axis.size / axis.resized


def _by_taps(image: np.ndarray, vertical: Axis, horizontal: Axis, interpolation: str) -> np.ndarray:
    """Resample without widening the kernel: 2 or 4 pixels an axis, edge pixels repeated, rounded once at the end."""
    rows, row_weights = _taps(vertical, interpolation)
    columns, column_weights = _taps(horizontal, interpolation)
    levels = np.zeros((vertical.length, horizontal.length, image.shape[2]))
    for row, row_weight in zip(rows, row_weights, strict=True):
        lines = image[row]
        for column, column_weight in zip(columns, column_weights, strict=True):
            levels += lines[:, column] * (row_weight[:, None, None] * column_weight[:, None])
    return np.clip(np.floor(levels + HALF_UP), 0, 255)


def _taps(axis: Axis, interpolation: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices (int64) and weights (float64), each [taps, length], of the input pixels that make each output pixel."""
    reach = 2 if interpolation == "bicubic" else 1
    centre = (np.arange(axis.length) + axis.offset + 0.5) * axis.size / axis.resized - 0.5
    positions = np.floor(centre) + np.arange(1 - reach, 1 + reach)[:, None]
    distance = np.abs(positions - centre)
    if interpolation == "bilinear":
        weights = 1 - distance
    else:
        a = CUBIC_NOT_WIDENED
        weights = np.where(
            distance < 1,
            ((a + 2) * distance - (a + 3)) * distance**2 + 1,
            a * (((distance - 5) * distance + 8) * distance - 4),
        )
    return positions.clip(0, axis.size - 1).astype(np.int64), weights
