"""Resize, crop and normalise inside a graph: two resampling matrices, built from the picture's own size.

Core operators only, with dynamic height and width, so that every target runs it. The rule is that of Pillow's resampling (horizontal
pass first, each pass rounded half up to whole levels), computed for the kept rows and columns alone. Positions are counted from the
middle of the picture: the crop is centred, so they stay small, and float32 holds them exactly enough at any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .resize import CUBIC_NOT_WIDENED, output_size


class Resample(nn.Module):
    """uint8 [height, width, channels] -> {"pixels": float32 [1, channels, kept height, kept width]}, normalised.

    Args:
        facts: checked picture facts, without `reducing_gap`, which is Pillow's own.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.resize = facts["resize"]
        self.length = output_size(facts)
        self.antialias = bool(facts["antialias"])
        self.bicubic = facts["interpolation"] == "bicubic"
        self.swap = facts["color"] == "BGR"
        self.divide = facts["scale"] == 1
        self.register_buffer("mean", torch.tensor(facts["mean"], dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(facts["std"], dtype=torch.float32)[:, None, None])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The model's input for one picture."""
        planes = image.permute(2, 0, 1).to(torch.float32)
        rows, columns = torch.ones_like(planes[0, :, 0]), torch.ones_like(planes[0, 0, :])
        shortest = torch.minimum(rows.sum(), columns.sum())
        levels = torch.matmul(planes, self._matrix(columns, shortest, axis=1).transpose(0, 1))
        if self.antialias:
            levels = _to_levels(levels)
        levels = _to_levels(torch.matmul(self._matrix(rows, shortest, axis=0), levels))
        return {"pixels": self._normalise(levels)[None]}

    def _normalise(self, levels: Tensor) -> Tensor:
        if self.swap:
            levels = torch.cat([levels[2:3], levels[1:2], levels[0:1]])
        if self.divide:
            levels = levels / 255.0
        return (levels - self.mean) / self.std

    def _matrix(self, ones: Tensor, shortest: Tensor, axis: int) -> Tensor:
        """The weights [kept length, input length] of one axis; `ones` has its input length, which thus stays dynamic."""
        size, length = ones.sum(), self.length[axis]
        resized = self._resized(size, shortest, axis)
        # Half a pixel where an odd number of rows or columns is left out: the offset is a whole number.
        off_centre = torch.round((resized - length) / 2) - (resized - length) / 2
        scale = size / resized
        kept = torch.arange(length, dtype=torch.float32) + (0.5 - length / 2)
        middles = (kept + off_centre) * scale
        index = ones.cumsum(0) - 1
        distance = (index + 0.5 - size / 2)[None, :] - middles[:, None]
        weights = self._kernel(distance / scale.clamp(min=1.0)) if self.antialias else self._with_edges(distance, index, size)
        return weights / weights.sum(1, keepdim=True)

    def _resized(self, size: Tensor, shortest: Tensor, axis: int) -> Tensor:
        if isinstance(self.resize, list):
            return torch.full_like(size, float(self.resize[axis]))
        # Half a unit keeps the quotient of two whole numbers off the step of floor, whichever way a runtime divides.
        return torch.floor((self.resize * size + 0.5) / shortest)

    def _with_edges(self, distance: Tensor, index: Tensor, size: Tensor) -> Tensor:
        """Weights of a kernel that is not widened; what falls beyond an edge counts for the edge pixel."""
        weights = self._kernel(distance)
        first, last = (1 - index).clamp(min=0), (index + 2 - size).clamp(min=0)
        for step in (1, 2) if self.bicubic else (1,):
            weights = weights + first * self._kernel(distance - step) + last * self._kernel(distance + step)
        return weights

    def _kernel(self, distance: Tensor) -> Tensor:
        """Triangle, or the cubic kernel of R. Keys (1981); its two pieces meet at 0, so each is clamped into its range and added."""
        distance = distance.abs()
        if not self.bicubic:
            return (1 - distance).clamp(min=0)
        a = -0.5 if self.antialias else CUBIC_NOT_WIDENED
        near, far = distance.clamp(max=1), distance.clamp(min=1, max=2)
        return ((a + 2) * near - (a + 3)) * near * near + 1 + a * (((far - 5) * far + 8) * far - 4)


def _to_levels(values: Tensor) -> Tensor:
    return torch.floor(values + 0.5).clamp(0, 255)
