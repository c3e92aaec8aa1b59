"""The graphs around a model of pictures: `Resample` before it, `Activate` after it.

`Resample` resizes, crops and normalises by the rule of `resize.py`: core operators only, with dynamic height and width,
so that every target runs it. A pass gathers, for each kept line, the few lines that it is made of (taps) and multiplies
them by their weights.

Small pictures of common sizes put many sums exactly half-way between two levels, where Pillow's fixed-point weights
decide. They are computed here to the last digit in float32: a weight of the triangle is a quotient of two whole
numbers, found in two digits of 11 bits (one of the cubic nearly so); pixels are whole too, so that the sums of the one
digit and of the other are exact, in whatever order or fusion a runtime takes them.

Which pass comes first depends on the picture, and a graph without branches computes both orders. Vertical first is only
for pictures that lose more than twice as many rows as columns: it is computed for no more columns than such a picture
has.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..shared.picture_facts import PictureFacts
from ..shared.resize import CUBIC_NOT_WIDENED, HALF_UP, output_size

_DIGIT = 2.0**11
"""Pillow's weights are multiples of 2**-22: two such digits."""


_PARTS = 4
"""Parts of the first pass, which is over a whole picture: 1344 x 1008 takes 187 MB more than 512 x 512 in OpenVINO, and
227 MB at once (93 MB with both passes in 8 parts); each part is ten operators more to convert. The second pass is over
a line for each that is kept."""


class Resample(nn.Module):
    """uint8 [height, width, channels] -> {"pixels": float32 [1, channels, kept height, kept width]}, normalised.

    Args:
        facts: checked picture facts, without `reducing_gap`, which is Pillow's own.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, facts: PictureFacts) -> None:
        super().__init__()
        self.resize = facts.resize
        self.length = output_size(facts)
        self.antialias = bool(facts.antialias)
        self.bicubic = facts.interpolation == "bicubic"
        self.reach = 2 if self.bicubic else 1
        self.swap = facts.color == "BGR"
        self.divide = facts.scale == 1
        self.least = self.resize if isinstance(self.resize, tuple) else [self.resize, self.resize]
        self.register_buffer("mean", torch.tensor(facts.mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(facts.std, dtype=torch.float32)[:, None, None])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The model's input for one picture."""
        rows, columns = _ones(image[:, 0, 0]), _ones(image[0, :, 0])
        height, width = rows.sum(), columns.sum()
        shortest = torch.minimum(height, width)
        new_height, new_width = self._resized(height, shortest, 0), self._resized(width, shortest, 1)
        down, across = self._taps(rows, height, new_height, 0), self._taps(columns, width, new_width, 1)
        turned = _first_last(image)
        made = self._pass(_last_first(self._pass(turned, *across, _PARTS)), *down).permute(2, 0, 1)
        if not self.antialias:
            return {"pixels": self._normalise(torch.floor(made + HALF_UP).clamp(0, 255))}
        few = torch.minimum(self._narrow(rows), width - 1).to(torch.int64)
        upright = self._pass(_last_first(turned.index_select(0, few)), *down, _PARTS)
        upright = self._pass(_first_last(upright), *across).permute(1, 2, 0)
        lost = height - new_height
        vertical_first = torch.minimum(lost, lost - 2 * (width - new_width)) > 0
        return {"pixels": self._normalise(torch.where(vertical_first, upright, made))}

    def _normalise(self, levels: Tensor) -> Tensor:
        levels = levels.to(torch.float32)
        if self.swap:
            levels = torch.cat([levels[2:3], levels[1:2], levels[0:1]])
        if self.divide:
            levels = levels / 255.0
        return ((levels - self.mean) / self.std)[None]

    def _resized(self, size: Tensor, shortest: Tensor, axis: int) -> Tensor:
        if isinstance(self.resize, tuple):
            return torch.full_like(size, float(self.resize[axis]))
        # Half a unit keeps the quotient of two whole numbers off the step of floor, whichever way a runtime divides.
        return torch.floor((self.resize * size + 0.5) / shortest)

    def _narrow(self, rows: Tensor) -> Tensor:
        """0, 1, ... for as many columns as a picture of so many rows can have whose vertical pass comes first.

        It is narrower than new width + (height - new height) / 2. By the shortest side that means twice as high as
        wide.
        """
        wider = max(self.least[1] - self.least[0] // 2, 0) if isinstance(self.resize, tuple) else 0
        return _every(rows, 2, wider + 1)

    def _taps(self, ones: Tensor, size: Tensor, resized: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Where an axis takes its lines from, float32 [kept, taps], and by which weights: [kept, digits, taps].

        Positions are counted from the middle of the picture (the crop is centred, so they stay small), distances in
        units of 1 / (2 * resized): whole numbers that float32 holds, so that no runtime's way of dividing shows. `ones`
        has the input length, from which the number of taps comes: it stays dynamic.
        """
        length = self.length[axis]
        greatest = torch.maximum(size, resized) if self.antialias else resized
        # In half pixels of the resized axis: odd or even with the number of pixels left out, as the offset is a whole
        # number.
        left_out = resized - length
        middles = (
            torch.arange(length, dtype=torch.float32) * 2 + (1 - length) + (torch.round(left_out / 2) * 2 - left_out)
        )
        whole = torch.floor(middles * size / (2 * resized))
        rest = middles * size - whole * (2 * resized)
        half = torch.floor(size / 2)
        odd = size - 2 * half
        first = torch.floor((rest + (odd - 1) * resized - 2 * self.reach * greatest) / (2 * resized))
        # At least 2 * reach * greatest / resized, and one more as `first` may be one too low.
        taps = (
            _every(ones, max(self.least[axis] // (2 * self.reach), 1), 2 * self.reach)
            if self.antialias
            else _every(ones[:1], 1, 2 * self.reach + 1)
        )
        place = first[:, None] + taps
        index = place + (whole + half)[:, None]
        distance = ((2 * place + (1 - odd)) * resized - rest[:, None]).abs()
        if not self.antialias:  # what falls beyond an edge counts for the edge pixel
            weights = self._not_widened(distance / (2 * greatest))
            return index.clamp(min=0), (weights / weights.sum(1, keepdim=True))[:, None]
        inside = (index + 1).clamp(0, 1) * (size - index).clamp(0, 1)
        coarse, fine = (
            _cubic(distance, 2 * greatest)
            if self.bicubic
            else ((2 * greatest - distance).clamp(min=0), torch.zeros_like(distance))
        )
        return index.clamp(min=0), _digits(coarse * inside, fine * inside)

    def _not_widened(self, distance: Tensor) -> Tensor:
        """The triangle, or the cubic, whose two pieces meet at 0, so that each is clamped into its range and added."""
        if not self.bicubic:
            return (1 - distance).clamp(min=0)
        a = CUBIC_NOT_WIDENED
        near, far = distance.clamp(max=1), (2 - distance).clamp(0, 1)
        return 1 - near * near * ((a + 3) - (a + 2) * near) + a * far * far * (1 - far)

    def _pass(self, lines: Tensor, index: Tensor, weights: Tensor, parts: int = 1) -> Tensor:
        """[input, ., .] -> [kept, ., .], in whole levels and uint8 where there is antialiasing, else float32.

        Taken lines are as many numbers as several pictures: they are made, part after part, from single bytes.
        """
        index = torch.minimum(index, _ones(lines[:, 0, 0]).sum() - 1).to(torch.int64)
        many = -(-weights.size(0) // parts)
        made = []
        for start in range(0, weights.size(0), many):
            some = weights[start : start + many]
            taken = lines.index_select(0, index[start : start + many].flatten()).to(torch.float32)
            made.append(torch.matmul(some, taken.reshape(some.size(0), some.size(2), -1)))
        sums = torch.cat(made)
        if self.antialias:
            high, low = sums[:, 0], sums[:, 1]
            whole = torch.floor(high)
            sums = (whole + torch.floor((high - whole) + low + 0.5)).clamp(0, 255).to(torch.uint8)
        return sums.reshape(weights.size(0), lines.size(1), lines.size(2))


class Activate(nn.Module):
    """float32 [batch, classes] logits -> {"scores": float32 [batch, classes]}, by `softmax` or `sigmoid`."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.softmax = activation == "softmax"

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        """The scores of a batch."""
        return {"scores": torch.softmax(logits, dim=1) if self.softmax else torch.sigmoid(logits)}


def _digits(coarse: Tensor, fine: Tensor) -> Tensor:
    """Weights coarse + fine, each row divided by its sum, in two digits [kept, 2, taps]; `coarse` holds whole
    numbers.
    """
    total, rest = coarse.sum(1, keepdim=True), fine.sum(1, keepdim=True)
    whole = total + rest
    high = torch.floor((coarse + fine) * _DIGIT / whole)
    left = (coarse * _DIGIT - high * total) + (fine * _DIGIT - high * rest)
    return torch.stack([high / _DIGIT, torch.floor(left * _DIGIT / whole + 0.5) / _DIGIT**2], 1)


def _cubic(distance: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """R. Keys' cubic with a = -0.5 in units of 1 / 2**11, as whole numbers and what remains: float32 alone would lose
    the last digits.

    It is developed about multiples of 1 / 128, where it is a multiple of 1 / 2**22. Its two pieces (1.5 x**3 - 2.5 x**2
    + 1 up to 1, and with y = 2 - x from there 0.5 y**3 - 0.5 y**2) meet at 0, so each is clamped into its range and
    added.
    """
    near, step = _steps(torch.minimum(distance, width), width)
    far, more = _steps(torch.minimum((2 * width - distance).clamp(min=0), width), width)
    at = near * near * (3 * near - 640) + 2.0**22 + far * far * (far - 128)
    beyond = step * (near * (9 * near - 1280) + step * (9 * near - 640 + 3 * step)) + more * (
        far * (3 * far - 256) + more * (3 * far - 128 + more)
    )
    coarse = torch.floor(at / _DIGIT)
    return coarse, ((at - coarse * _DIGIT) + beyond) / _DIGIT


def _steps(distance: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """distance / width in units of 1 / 128: whole ones, and the rest."""
    steps = torch.floor(distance * 128 / width)
    return steps, (distance * 128 - steps * width) / width


def _ones(line: Tensor) -> Tensor:
    """float32 ones, as many as there are pixels in the line."""
    return torch.ones_like(line, dtype=torch.float32)


def _every(ones: Tensor, step: int, more: int) -> Tensor:
    """0, 1, ...: one for every `step` elements begun, and `more` of them (which an exporter must see, lest it takes a
    length of 1 for fixed).
    """
    return torch.cat([ones, ones.new_ones(step * more)])[::step].cumsum(0) - 1


def _first_last(lines: Tensor) -> Tensor:
    """[a, b, c] -> [b, c, a], as a transposition of a matrix, which every runtime has a fast one for."""
    return lines.reshape(lines.size(0), -1).transpose(0, 1).reshape(lines.size(1), lines.size(2), -1)


def _last_first(lines: Tensor) -> Tensor:
    """[b, c, a] -> [a, b, c], likewise."""
    return lines.reshape(-1, lines.size(2)).transpose(0, 1).reshape(lines.size(2), lines.size(0), lines.size(1))
