"""The in-graph forms of `letterbox.py`: core operators, dynamic height and width, so that every target runs them.

How many pixels of a picture make one of the input depends, with a letterbox, on its other side too. So a pass is a
product with a whole matrix of weights, [input length, picture length], built from the picture's own size; rows beyond
the picture weigh nothing.

As in `resample.py`, positions are counted from the middle and levels from mid-grey, and weights are whole multiples of
Pillow's unit:
that keeps float32 on Pillow's side where a sum is half-way between two levels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..shared.detection_facts import DetectionFacts
from ..shared.resize import CUBIC_NOT_WIDENED, HALF_UP

_GREY = 128
_UNIT = 2.0**-22


def fitting(facts: DetectionFacts) -> nn.Module:
    """uint8 [height, width, channels] -> {"pixels": float32 [1, channels, *size]}, for checked facts."""
    return {"letterbox": Letterbox, "stretch": Stretch, "crop": Crop}[facts.fit](facts).eval()


class Crop(nn.Module):
    """The picture as it is, cut off or filled with grey `pad` at the right and below."""

    mean: Tensor
    std: Tensor

    def __init__(self, facts: DetectionFacts) -> None:
        super().__init__()
        self.size = facts.size
        self.pad = float(facts.pad) - _GREY
        self.swap = facts.color == "BGR"
        self.divide = facts.scale == 1
        self.register_buffer("mean", torch.tensor(facts.mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(facts.std, dtype=torch.float32)[:, None, None])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The model's input for one picture."""
        levels = self._levels(image.permute(2, 0, 1).to(torch.float32) - _GREY) + _GREY
        if self.swap:
            levels = torch.cat([levels[2:3], levels[1:2], levels[0:1]])
        if self.divide:
            levels = levels / 255.0
        return {"pixels": ((levels - self.mean) / self.std)[None]}

    def _levels(self, planes: Tensor) -> Tensor:
        """[channels, *size] of [channels, height, width], both counted from mid-grey."""
        height, width = self.size
        return nn.functional.pad(planes, (0, width, 0, height), value=self.pad)[:, :height, :width]


class Stretch(Crop):
    """The picture scaled to the size, each side by its own factor."""

    def __init__(self, facts: DetectionFacts) -> None:
        super().__init__(facts)
        self.antialias = bool(facts.antialias)
        self.bicubic = facts.interpolation == "bicubic"

    def _levels(self, planes: Tensor) -> Tensor:
        rows, columns = torch.ones_like(planes[0, :, 0]), torch.ones_like(planes[0, 0, :])
        height, width = rows.sum(), columns.sum()
        new_height, new_width = self._sizes(height, width)
        down, across = (
            self._matrix(rows, height, new_height, 0),
            self._matrix(columns, width, new_width, 1).transpose(0, 1),
        )
        if self.antialias:
            horizontal_first = _down(down, _across(planes, across))
            vertical_first = _across(_down(down, planes), across)
            lost = height - new_height
            levels = torch.where(
                torch.minimum(lost, lost - 2 * (width - new_width)) > 0, vertical_first, horizontal_first
            )
        else:
            levels = _to_levels(torch.matmul(down, torch.matmul(planes, across)), HALF_UP)
        return self._ground(levels, new_height, new_width)

    def _sizes(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """What height and width become."""
        return torch.full_like(height, float(self.size[0])), torch.full_like(width, float(self.size[1]))

    def _offset(self, left_out: Tensor) -> Tensor:
        """Where the input begins, in pixels of the scaled picture."""
        return torch.zeros_like(left_out)

    def _ground(self, levels: Tensor, height: Tensor, width: Tensor) -> Tensor:
        """The levels, with what a scaled picture of that size leaves free."""
        return levels

    def _matrix(self, ones: Tensor, size: Tensor, scaled: Tensor, axis: int) -> Tensor:
        """The weights [input length, picture length] of one axis; `ones` has the picture's length, which thus stays
        dynamic.
        """
        # In half pixels of the scaled axis, from its middle.
        middles = (
            torch.arange(self.size[axis], dtype=torch.float32) * 2
            + 1
            + self._offset(scaled - self.size[axis]) * 2
            - scaled
        )
        # middles * size / (2 * scaled), but the whole pixels and the rest apart: one number would lose the rest's last
        # digits.
        whole = torch.floor(middles * size / (2 * scaled))
        rest = (middles * size - whole * (2 * scaled)) / (2 * scaled)
        index = ones.cumsum(0) - 1
        distance = (index + 0.5 - size / 2)[None, :] - whole[:, None] - rest[:, None]
        weights = (
            self._kernel(distance, (size / scaled).clamp(min=1.0))
            if self.antialias
            else self._with_edges(distance, index, size)
        )
        return torch.floor(weights / weights.sum(1, keepdim=True).clamp(min=_UNIT) / _UNIT + 0.5) * _UNIT

    def _with_edges(self, distance: Tensor, index: Tensor, size: Tensor) -> Tensor:
        """Weights of a kernel that is not widened; what falls beyond an edge counts for the edge pixel."""
        width = torch.ones_like(size)
        weights = self._kernel(distance, width)
        first, last = (1 - index).clamp(min=0), (index + 2 - size).clamp(min=0)
        for away in (1, 2) if self.bicubic else (1,):
            weights = (
                weights + first * self._kernel(distance - away, width) + last * self._kernel(distance + away, width)
            )
        return weights

    def _kernel(self, distance: Tensor, width: Tensor) -> Tensor:
        """A kernel of that width, but for a factor: the triangle, or the cubic of R. Keys (1981), each of its pieces
        clamped to its range.
        """
        if not self.bicubic:
            return (width - distance.abs()).clamp(min=0)
        a = -0.5 if self.antialias else CUBIC_NOT_WIDENED
        distance = distance.abs() / width
        near, far = distance.clamp(max=1), distance.clamp(min=1, max=2)
        return ((a + 2) * near - (a + 3)) * near * near + 1 + a * (((far - 5) * far + 8) * far - 4)


class Letterbox(Stretch):
    """The whole picture, scaled until it fits, on a ground of grey `pad`."""

    def __init__(self, facts: DetectionFacts) -> None:
        super().__init__(facts)
        self.centred = facts.place == "centre"

    def _sizes(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        upright = self.size[0] * width <= self.size[1] * height
        fixed = super()._sizes(height, width)
        return torch.where(upright, fixed[0], _rounded(height * self.size[1], width)), torch.where(
            upright, _rounded(width * self.size[0], height), fixed[1]
        )

    def _offset(self, left_out: Tensor) -> Tensor:
        return torch.round(left_out / 2) if self.centred else torch.zeros_like(left_out)

    def _ground(self, levels: Tensor, height: Tensor, width: Tensor) -> Tensor:
        inside = self._inside(height, 0)[:, None] * self._inside(width, 1)
        return levels * inside + self.pad * (1 - inside)

    def _inside(self, scaled: Tensor, axis: int) -> Tensor:
        """1 where an axis of the input shows the picture, else 0."""
        index = torch.arange(self.size[axis], dtype=torch.float32) + self._offset(scaled - self.size[axis])
        return (index + 1).clamp(0, 1) * (scaled - index).clamp(0, 1)


def _rounded(product: Tensor, by: Tensor) -> Tensor:
    """The quotient of two whole numbers, halves up, at least 1; a quarter keeps it off the step of floor."""
    return torch.floor((product + by / 2 + 0.25) / by).clamp(min=1)


def _across(planes: Tensor, weights: Tensor) -> Tensor:
    return _to_levels(torch.matmul(planes, weights) + (weights.sum(0) - 1) * _GREY)


def _down(weights: Tensor, planes: Tensor) -> Tensor:
    return _to_levels(torch.matmul(weights, planes) + (weights.sum(1, keepdim=True) - 1) * _GREY)


def _to_levels(values: Tensor, half: float = 0.5) -> Tensor:
    """Whole levels, counted from mid-grey; halves go up."""
    return torch.floor(values + half).clamp(-_GREY, 255 - _GREY)
