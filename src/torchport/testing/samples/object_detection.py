"""The sample of `object-detection`: squares of two colours on grey, found by their colour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from . import BAD, Sample

CELL, SIDE = 8, 64
COLORS = {"red": (250, 20, 20), "blue": (20, 20, 250)}
SQUARES = {"one.png": [("red", 8, 16)], "two.png": [("blue", 40, 8), ("red", 16, 40)], "none.png": []}


class Squares(torch.nn.Module):
    """float32 [batch, 3, 64, 64] -> rows [batch, 64, 4 + 2]: the cells of 8 x 8 pixels with their means of red less
    blue, and blue less red.
    """

    cells: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, CELL, CELL, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0, 0, -1], [-1, 0, 1]])[:, :, None, None] / CELL**2)
        corner = torch.stack(
            torch.meshgrid(torch.arange(0, SIDE, CELL), torch.arange(0, SIDE, CELL), indexing="xy"), -1
        ).reshape(1, -1, 2)
        self.register_buffer("cells", torch.cat([corner + CELL / 2, torch.full_like(corner, CELL)], 2).float())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Centre and size in pixels, and a score a class."""
        scores = self.conv(pixels).flatten(2).transpose(1, 2).clamp(0, 1)
        return torch.cat([self.cells.expand(scores.size(0), -1, -1), scores], 2)


def sample(folder: Path) -> Sample:
    """Three pictures with a COCO file; a stream of the same as frames."""
    images, annotations = [], []
    for number, (name, squares) in enumerate(SQUARES.items(), 1):
        frame = draw(squares)
        Image.fromarray(frame).save(folder / name)
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        annotations += [
            {"image_id": number, "category_id": list(COLORS).index(color) + 1, "bbox": [x, y, CELL, CELL], "iscrowd": 0}
            for color, x, y in squares
        ]
    categories = [{"id": at, "name": name} for at, name in enumerate(COLORS, 1)]
    (folder / "instances.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    cut_off = (folder / "one.png").read_bytes()[:60]
    settings = {"labels": list(COLORS), "size": [SIDE, SIDE], "fit": "letterbox", "top": 8}
    return Sample(
        "object-detection",
        Squares().eval(),
        folder,
        settings,
        bad=(*BAD, cut_off),
        push=tuple(draw(squares) for squares in SQUARES.values()),
    )


def draw(squares: list[tuple[str, int, int]]) -> np.ndarray:
    """uint8 [64, 64, 3]: squares of 8 x 8 pixels on grey."""
    frame = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for color, x, y in squares:
        frame[y : y + CELL, x : x + CELL] = COLORS[color]
    return frame
