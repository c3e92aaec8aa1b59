"""Twenty real photos (512 x 512, from the package foolbox) and pictures made of them."""

from __future__ import annotations

import importlib.util
import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

spec = importlib.util.find_spec("foolbox")
assert spec and spec.origin
PATHS = sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))


@cache
def photo(number: int = 0) -> Image.Image:
    """One of the photos."""
    return Image.open(PATHS[number]).convert("RGB")


def sized(width: int, height: int, number: int = 0) -> np.ndarray:
    """A photo at another size, as uint8 [height, width, 3]."""
    return np.array(photo(number).resize((width, height), Image.Resampling.LANCZOS))


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a picture file."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()
