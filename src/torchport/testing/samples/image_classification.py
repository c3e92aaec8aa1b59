"""The sample of `image-classification`: pictures of one colour, told apart by it."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from . import BAD, Sample

COLORS = {"red": (220, 30, 40), "green": (40, 200, 60), "blue": (30, 60, 210)}


class MeanColor(torch.nn.Module):
    """float32 [batch, 3, height, width] -> logits [batch, 3] by the mean of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None] * 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """float32 [batch, 3]."""
        mean: torch.Tensor = self.conv(pixels).mean((2, 3))
        return mean


def sample(folder: Path) -> Sample:
    """One picture a colour, each called after its class, of three sizes and kinds."""
    torch.manual_seed(0)
    kinds = (("png", (40, 30)), ("jpg", (31, 57)), ("webp", (64, 64)))
    for (name, color), (suffix, size) in zip(COLORS.items(), kinds, strict=True):
        Image.new("RGB", size, color).save(folder / f"photo_{name}.{suffix}")
    settings = {"labels": list(COLORS), "resize": 24, "crop": 16, "mean": 0.5, "std": 0.5}
    cut_off = (folder / "photo_red.png").read_bytes()[:60]
    return Sample("image-classification", MeanColor().eval(), folder, settings, bad=(*BAD, cut_off))
