"""The pictures, and what Pillow and eager PyTorch make of them: written here anew, without torchport's own steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from torchport.jobs import demo

MEAN, STD = 127, 128
SHORTEST, CROP = 256, 224
OTHER_SIZES = ((500, 375), (640, 427), (427, 640), (33, 57))
"""Width and height in pixels: landscape, portrait, and tiny."""


def gather(folder: Path) -> list[Path]:
    """The 20 photos as they are, in a folder of their own."""
    return sorted(demo.gather(folder).glob(demo.PHOTOS))


def resized(photos: Iterable[Path], folder: Path) -> list[Path]:
    """Every photo at the other sizes, as JPEG files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for photo in photos:
        for width, height in OTHER_SIZES:
            made.append(folder / f"{width}x{height}_{photo.name}")
            Image.open(photo).convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(
                made[-1], quality=95
            )
    return made


def decode(file: Path) -> np.ndarray:
    """uint8 [height, width, 3]."""
    return np.asarray(Image.open(file).convert("RGB"))


def levels(image: np.ndarray, method: Image.Resampling = Image.Resampling.BICUBIC) -> np.ndarray:
    """Pillow's own resize to the shortest side and the centre crop: uint8 [crop, crop, 3]."""
    height, width = image.shape[:2]
    wide, high = (SHORTEST * n // min(width, height) for n in (width, height))
    left, top = round((wide - CROP) / 2), round((high - CROP) / 2)
    return np.asarray(Image.fromarray(image).resize((wide, high), method).crop((left, top, left + CROP, top + CROP)))


def normalise(shades: np.ndarray) -> np.ndarray:
    """float32 [1, 3, crop, crop] of levels."""
    return np.asarray((shades.transpose(2, 0, 1)[None].astype(np.float32) - MEAN) / STD)


def denormalise(pixels: np.ndarray) -> np.ndarray:
    """Levels, as int16 [crop, crop, 3], of float32 [1, 3, crop, crop]; they must be whole."""
    shades = pixels[0].transpose(1, 2, 0).astype(np.float64) * STD + MEAN
    assert np.abs(shades - shades.round()).max() < 1e-3, "levels are whole numbers"
    return np.asarray(shades.round(), np.int16)


def eager(pixels: Sequence[np.ndarray]) -> np.ndarray:
    """Eager PyTorch's logits [item, class]."""
    import torch

    model = demo.efficientnet_lite0().eval()
    with torch.inference_mode():
        return np.concatenate([model(torch.from_numpy(one)).numpy() for one in pixels])
