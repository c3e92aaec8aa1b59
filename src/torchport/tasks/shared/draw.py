"""Found boxes and tracks drawn into their picture. Pillow and numpy only."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LEAST_SIDE = 480
"""Pictures with a shorter longest side are drawn larger, by a whole factor, so that numbers can be read."""

_CROWD = 40
_GOLDEN = 0.618034


def boxes(image: np.ndarray, found: Sequence[Mapping[str, Any]]) -> Image.Image:
    """A picture with its boxes, each with label and score, in the colour of its class; of a track its number and label,
    in a colour of its own.

    Args:
        image: uint8 [height, width, 3] in RGB. A small one is drawn larger, by a whole factor.
        found: `{"index", "label", "score", "box"}` each, with `landmarks` where there are some, in pixels of the
        picture, and the `id` of a
            track. Where there are very many, boxes are drawn without names.
    """
    factor = max(1, -(-LEAST_SIDE // max(image.shape[:2])))
    picture = Image.fromarray(image.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else image)
    width = max(1, max(picture.size) // 400)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(max(10, max(picture.size) // 50))
    for one in found:
        colour = colour_of(one.get("id", one["index"]))
        left, top, right, bottom = (edge * factor for edge in one["box"])
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=width)
        for x, y in one.get("landmarks") or ():
            pen.ellipse((x * factor - width, y * factor - width, x * factor + width, y * factor + width), fill=colour)
        if len(found) <= _CROWD:
            name = f"{one['id']} {one['label']}" if "id" in one else f"{one['label']} {one['score']:.0%}"
            long, high = pen.textbbox((0, 0), name, font=font)[2:]
            at = (min(max(left, 0), max(0, picture.width - long)), top - high if top >= high else bottom)
            pen.rectangle((*at, at[0] + long, at[1] + high), fill=colour)
            pen.text(at, name, fill="black", font=font)
    return picture


def colour_of(number: int) -> tuple[int, int, int]:
    """A light colour for a class or a track, far from those of its neighbours in number."""
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.6, 1.0)
    return int(red * 255), int(green * 255), int(blue * 255)
