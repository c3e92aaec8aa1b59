"""The graphs around a model of pictures: `Resample` before it, `Activate` after it.

`Resample` resizes, crops and normalises by two resampling matrices, built from the picture's own size: core operators only, with dynamic
height and width, so that every target runs it. The rule is that of `resize.py`, computed for the kept rows and columns alone. Which pass
comes first depends on the picture, and a graph without branches computes both orders.

Small pictures of common sizes put many sums exactly half-way between two levels, where Pillow's fixed-point weights decide. Three
things keep float32 on its side: positions are counted from the middle of the picture (the crop is centred, so they stay small), levels
from mid-grey, and weights are whole multiples of Pillow's unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .resize import CUBIC_NOT_WIDENED, HALF_UP, output_size

_GREY = 128
_UNIT = 2.0**-22


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
        planes = image.permute(2, 0, 1).to(torch.float32) - _GREY
        rows, columns = torch.ones_like(planes[0, :, 0]), torch.ones_like(planes[0, 0, :])
        height, width = rows.sum(), columns.sum()
        shortest = torch.minimum(height, width)
        new_height, new_width = self._resized(height, shortest, 0), self._resized(width, shortest, 1)
        down, across = self._matrix(rows, height, new_height, 0), self._matrix(columns, width, new_width, 1).transpose(0, 1)
        if not self.antialias:
            return {"pixels": self._normalise(_to_levels(torch.matmul(down, torch.matmul(planes, across)), HALF_UP))}
        horizontal_first = _down(down, _across(planes, across))
        vertical_first = _across(_down(down, planes), across)
        lost = height - new_height
        upright = torch.minimum(lost, lost - 2 * (width - new_width)) > 0
        return {"pixels": self._normalise(torch.where(upright, vertical_first, horizontal_first))}

    def _normalise(self, levels: Tensor) -> Tensor:
        levels = levels + _GREY
        if self.swap:
            levels = torch.cat([levels[2:3], levels[1:2], levels[0:1]])
        if self.divide:
            levels = levels / 255.0
        return ((levels - self.mean) / self.std)[None]

    def _resized(self, size: Tensor, shortest: Tensor, axis: int) -> Tensor:
        if isinstance(self.resize, list):
            return torch.full_like(size, float(self.resize[axis]))
        # Half a unit keeps the quotient of two whole numbers off the step of floor, whichever way a runtime divides.
        return torch.floor((self.resize * size + 0.5) / shortest)

    def _matrix(self, ones: Tensor, size: Tensor, resized: Tensor, axis: int) -> Tensor:
        """The weights [kept length, input length] of one axis; `ones` has its input length, which thus stays dynamic."""
        length = self.length[axis]
        # In half pixels of the resized axis: odd or even with the number of pixels left out, as the offset is a whole number.
        left_out = resized - length
        middles = torch.arange(length, dtype=torch.float32) * 2 + (1 - length) + (torch.round(left_out / 2) * 2 - left_out)
        # middles * size / (2 * resized), but the whole pixels and the rest apart: one number would lose the rest's last digits.
        whole = torch.floor(middles * size / (2 * resized))
        rest = (middles * size - whole * (2 * resized)) / (2 * resized)
        index = ones.cumsum(0) - 1
        distance = (index + 0.5 - size / 2)[None, :] - whole[:, None] - rest[:, None]
        weights = self._kernel(distance, (size / resized).clamp(min=1.0)) if self.antialias else self._with_edges(distance, index, size)
        return torch.floor(weights / weights.sum(1, keepdim=True) / _UNIT + 0.5) * _UNIT

    def _with_edges(self, distance: Tensor, index: Tensor, size: Tensor) -> Tensor:
        """Weights of a kernel that is not widened; what falls beyond an edge counts for the edge pixel."""
        width = torch.ones_like(size)
        weights = self._kernel(distance, width)
        first, last = (1 - index).clamp(min=0), (index + 2 - size).clamp(min=0)
        for step in (1, 2) if self.bicubic else (1,):
            weights = weights + first * self._kernel(distance - step, width) + last * self._kernel(distance + step, width)
        return weights

    def _kernel(self, distance: Tensor, width: Tensor) -> Tensor:
        """A kernel of that width, but for a factor: the triangle, or the cubic of R. Keys (1981).

        The two pieces of the cubic meet at 0, so each is clamped into its range and added.
        """
        if not self.bicubic:
            return (width - distance.abs()).clamp(min=0)
        a = -0.5 if self.antialias else CUBIC_NOT_WIDENED
        distance = distance.abs() / width
        near, far = distance.clamp(max=1), distance.clamp(min=1, max=2)
        return ((a + 2) * near - (a + 3)) * near * near + 1 + a * (((far - 5) * far + 8) * far - 4)


class Activate(nn.Module):
    """float32 [batch, classes] logits -> {"scores": float32 [batch, classes]}, by `softmax` or `sigmoid`."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.softmax = activation == "softmax"

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        """The scores of a batch."""
        return {"scores": torch.softmax(logits, dim=1) if self.softmax else torch.sigmoid(logits)}


def _across(planes: Tensor, weights: Tensor) -> Tensor:
    return _to_levels(torch.matmul(planes, weights) + (weights.sum(0) - 1) * _GREY)


def _down(weights: Tensor, planes: Tensor) -> Tensor:
    return _to_levels(torch.matmul(weights, planes) + (weights.sum(1, keepdim=True) - 1) * _GREY)


def _to_levels(values: Tensor, half: float = 0.5) -> Tensor:
    """Whole levels, counted from mid-grey; halves go up."""
    return torch.floor(values + half).clamp(-_GREY, 255 - _GREY)
