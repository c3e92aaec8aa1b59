"""The sample of `object-tracking`: a red and a green square on their ways, found by their colour."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ...tasks.shared import mot, video
from . import BAD, Sample

SIDE, STRIDE, HEIGHT, WIDTH = 8, 4, 40, 64
COLORS = ("red", "green")


class Squares(torch.nn.Module):
    """float32 [batch, 3, height, width] of RGB in 0..1 -> heat map and boxes of the head `centers`: one class a colour,
    8 x 8 pixels each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heat = torch.nn.Conv2d(3, 2, SIDE + STRIDE, STRIDE, STRIDE)
        self.box = torch.nn.Conv2d(3, 4, STRIDE, STRIDE)
        with torch.no_grad():
            self.heat.weight.zero_()
            self.heat.weight[(0, 1), (0, 1), 2:-2, 2:-2] = 12 / SIDE**2
            self.heat.bias.fill_(-9.0)  # type: ignore[union-attr]
            self.box.weight.zero_()
            self.box.bias.copy_(torch.tensor([0.5, 0.5, SIDE, SIDE]))  # type: ignore[union-attr]

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """`heat` [batch, 2, rows, columns] and `box` [batch, 4, rows, columns]."""
        return {"heat": self.heat(pixels), "box": self.box(pixels)}


def places(number: int) -> list[tuple[int, int]]:
    """Left and top of the red and of the green square in a frame, counted from 0."""
    return [(6 + 4 * number % 48, 6), (46 - 4 * number % 48, 26)]


def frame(number: int) -> np.ndarray:
    """uint8 [40, 64, 3]."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for channel, (left, top) in enumerate(places(number)):
        picture[top : top + SIDE, left : left + SIDE, channel] = 255
    return picture


def truth(count: int) -> mot.Truth:
    """What is in the first frames."""
    rows = [
        (number + 1, kind + 1, kind, left, top, left + SIDE, top + SIDE)
        for number in range(count)
        for kind, (left, top) in enumerate(places(number))
    ]
    return [[float(value) for value in row] for row in rows]


SETTINGS = {
    "head": "centers",
    "size": [HEIGHT, WIDTH],
    "fit": "crop",
    "stride": STRIDE,
    "labels": list(COLORS),
    "threshold": 0.3,
    "min_hits": 1,
}


def sample(folder: Path) -> Sample:
    """A video, an animated picture and a folder of frames, each with its true tracks."""
    (folder / "film.mp4").write_bytes(video.write(map(frame, range(10)), 10))
    (folder / f"film{mot.SUFFIX}").write_text(mot.write(truth(10)))
    first, *rest = (Image.fromarray(frame(number)) for number in range(6))
    first.save(folder / "moving.apng", "PNG", save_all=True, append_images=rest, duration=100)
    (folder / f"moving{mot.SUFFIX}").write_text(mot.write(truth(6)))
    (folder / "frames" / "gt").mkdir(parents=True)
    for number in range(8):
        Image.fromarray(frame(number)).save(folder / "frames" / f"{number}.png")
    (folder / "frames" / "gt" / "gt.txt").write_text(mot.write(truth(8)))
    still = io.BytesIO()
    first.save(still, "PNG")
    cut_off = still.getvalue()[:60]
    return Sample(
        "object-tracking", Squares().eval(), folder, SETTINGS, bad=(*BAD, cut_off), push=tuple(map(frame, range(4)))
    )
