"""The sample of `image-recognition`: colours as identities, told apart by the mean of each channel."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from . import BAD, Sample

COLORS = {"Rot": (220, 30, 40), "grün": (40, 200, 60), "蓝": (30, 60, 210)}


class MeanColor(torch.nn.Module):
    """float32 [batch, 3, height, width] -> embedding float32 [batch, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None] * 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """float32 [batch, 3]."""
        mean: torch.Tensor = self.conv(pixels).mean((2, 3))
        return mean


def sample(folder: Path) -> Sample:
    """A gallery of two pictures a colour; as data another shade of each, and a stranger."""
    torch.manual_seed(0)
    for name, color in COLORS.items():
        (folder / "gallery" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (40 + number, 30), tuple(level + 3 * number for level in color)).save(
                folder / "gallery" / name / f"{number}.png"
            )
    data = folder / "data"
    data.mkdir()
    for name, color in COLORS.items():
        Image.new("RGB", (33, 40), tuple(level - 5 for level in color)).save(data / f"probe_{name}.png")
    Image.new("RGB", (20, 20), (200, 190, 30)).save(data / "stranger_unknown.png")
    settings = {"gallery": str(folder / "gallery"), "resize": 24, "crop": 16, "mean": 0.5, "std": 0.5, "threshold": 0.9}
    return Sample(
        "image-recognition", MeanColor().eval(), data, settings, bad=(*BAD, (data / "probe_Rot.png").read_bytes()[:60])
    )
