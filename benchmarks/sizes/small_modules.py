"""Small modules with one to three free axes: each is one way in which a converter may write a size, or an edge value,
into its file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody calls it so

PICTURE = ("x:float32[batch,3,height,width]",)
SOUND = ("x:float32[batch,4,time]",)
ROWS = ("x:float32[batch,time,8]",)

PICTURE_SIZES = (
    {"batch": 1, "height": 9, "width": 18},
    {"batch": 4, "height": 5, "width": 5},
    {"batch": 2, "height": 18, "width": 12},
    {"batch": 3, "height": 31, "width": 10},
    {"batch": 1, "height": 40, "width": 7},
)
ROW_SIZES = (
    {"batch": 1, "time": 9},
    {"batch": 4, "time": 5},
    {"batch": 2, "time": 18},
    {"batch": 3, "time": 31},
    {"batch": 7, "time": 40},
)


class Applied(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@dataclass(frozen=True)
class Small:
    """One module of the sweep.

    Attributes:
        make: builds it; called under a fixed seed.
        inputs: as given to `--input`.
        sizes: what is tried on each artefact that was kept, of none of the sizes that deploying tries.
    """

    make: Callable[[], nn.Module]
    inputs: Sequence[str]
    sizes: Sequence[Mapping[str, int]]


def picture(function: Callable[..., Tensor]) -> Small:
    """A function of pictures."""
    return Small(lambda: Applied(function), PICTURE, PICTURE_SIZES)


def sound(function: Callable[..., Tensor]) -> Small:
    """A function of channels over time."""
    return Small(lambda: Applied(function), SOUND, ROW_SIZES)


def rows(make: Callable[[], nn.Module]) -> Small:
    """A module of vectors over time."""
    return Small(make, ROWS, ROW_SIZES)


class First(nn.Module):
    """The first output of a recurrent net, and its last state where that is one tensor."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.net(x)[0]
        return found


class Attention(nn.Module):
    """Attention of a sequence to itself."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.heads, self.project, self.causal = 2, nn.Linear(8, 24), causal

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.project(x).chunk(3, -1))
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal).transpose(1, 2).flatten(2)


class Biased(nn.Module):
    """Hand-written attention with a bias by distance."""

    def forward(self, x: Tensor) -> Tensor:
        at = torch.arange(x.shape[1], device=x.device)
        bias = -(at[None] - at[:, None]).abs() / 4
        return torch.softmax(x @ x.transpose(1, 2) / math.sqrt(8) + bias, -1) @ x


class Patches(nn.Module):
    """Padded to whole patches, mixed within them, and cut back."""

    def forward(self, x: Tensor) -> Tensor:
        high, wide = x.shape[2:]
        x = F.pad(x, (0, -wide % 4, 0, -high % 4))
        folded = x.unflatten(3, (-1, 4)).unflatten(2, (-1, 4))
        mixed = folded - folded.mean((3, 5), keepdim=True)
        return mixed.flatten(4, 5).flatten(2, 3)[:, :, :high, :wide]


def _there_and_back(x: Tensor) -> Tensor:
    one = F.interpolate(x, size=(1, 1), mode="bilinear")
    return x + F.interpolate(one, size=x.shape[2:], mode="bilinear")


def _skip(x: Tensor) -> Tensor:
    return torch.cat([x, F.interpolate(F.avg_pool2d(x, 2, ceil_mode=True), size=x.shape[2:], mode="nearest")], 1)


def _grid(x: Tensor) -> Tensor:
    down = torch.linspace(-1, 1, x.shape[2]).view(-1, 1).expand(x.shape[2:])
    across = torch.linspace(-1, 1, x.shape[3]).expand(x.shape[2:])
    return torch.cat([x, down.expand(x.shape[0], 1, -1, -1), across.expand(x.shape[0], 1, -1, -1)], 1)


def _scattered(x: Tensor) -> Tensor:
    at = (torch.arange(x.shape[2]) % 4).expand_as(x)
    return torch.zeros(*x.shape[:2], 4).scatter_reduce(2, at, x, "amax", include_self=False)


MODULES: dict[str, Small] = {
    # pools
    "adaptive_avg": picture(lambda x: F.adaptive_avg_pool2d(x, (3, 5))),
    "adaptive_avg_to_one": picture(lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1)),
    "adaptive_max": picture(lambda x: F.adaptive_max_pool2d(x, (2, 3))),
    "adaptive_avg_1d": sound(lambda x: F.adaptive_avg_pool1d(x, 4)),
    "avg_ceil": picture(lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True)),
    "max_ceil": picture(lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True)),
    "avg_without_padding": picture(lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
    "lp_pool": picture(lambda x: F.lp_pool2d(x.abs() + 0.1, 2, 2)),
    "max_1d_dilated": sound(lambda x: F.max_pool1d(x, 2, 1, dilation=2)),
    # resizes
    "bilinear_twice": picture(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    "bilinear_to_a_size": picture(lambda x: F.interpolate(x, size=(9, 7), mode="bilinear")),
    "bilinear_antialiased": picture(lambda x: F.interpolate(x, size=(6, 7), mode="bilinear", antialias=True)),
    "bilinear_corners": picture(lambda x: F.interpolate(x, size=(9, 7), mode="bilinear", align_corners=True)),
    "bicubic": picture(lambda x: F.interpolate(x, size=(9, 7), mode="bicubic")),
    "nearest": picture(lambda x: F.interpolate(x, scale_factor=1.5)),
    "nearest_exact": picture(lambda x: F.interpolate(x, scale_factor=1.5, mode="nearest-exact")),
    "half": picture(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear")),
    "area": picture(lambda x: F.interpolate(x, size=(3, 5), mode="area")),
    "there_and_back": picture(_there_and_back),
    "linear_1d": sound(lambda x: F.interpolate(x, scale_factor=2, mode="linear")),
    "skip": picture(_skip),
    # recurrences
    "lstm": rows(lambda: First(nn.LSTM(8, 6, batch_first=True))),
    "gru_both_ways": rows(lambda: First(nn.GRU(8, 6, batch_first=True, bidirectional=True))),
    "rnn": rows(lambda: First(nn.RNN(8, 6, num_layers=2, batch_first=True))),
    "running_sum": sound(lambda x: x.cumsum(2) / torch.arange(1, x.shape[2] + 1)),
    # attention
    "attention": rows(lambda: Attention(causal=False)),
    "attention_causal": rows(lambda: Attention(causal=True)),
    "multihead": rows(lambda: First(Itself(nn.MultiheadAttention(8, 2, batch_first=True)))),
    "encoder": rows(lambda: Applied(nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2))),
    "attention_by_distance": rows(Biased),
    # reshapes
    "unshuffle": picture(lambda x: F.pixel_unshuffle(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)), 2)),
    "unfold": picture(lambda x: F.unfold(x, 3, padding=1)),
    "patches": Small(Patches, PICTURE, PICTURE_SIZES),
    "grid": picture(_grid),
    "roll_and_flip": picture(lambda x: torch.roll(x, (1, 2), (2, 3)).flip(3)),
    "left_half": sound(lambda x: x[..., : (x.shape[2] + 1) // 2] * 2),
    # padding
    "reflect": Small(lambda: Applied(nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(3, 4, 5))), PICTURE, PICTURE_SIZES),
    "replicate": Small(
        lambda: Applied(nn.Sequential(nn.ReplicationPad2d((1, 2, 2, 0)), nn.Conv2d(3, 4, 3))), PICTURE, PICTURE_SIZES
    ),
    "circular": Small(lambda: Applied(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")), PICTURE, PICTURE_SIZES),
    # reductions
    "spread": picture(lambda x: x.std((2, 3))),
    "instance_norm": picture(lambda x: F.instance_norm(x)),
    "log_sum_exp": sound(lambda x: x.logsumexp(2)),
    "top": sound(lambda x: x.topk(2, 2)[0] if x.shape[2] > 1 else x.expand(-1, -1, 2)),
    "middle": sound(lambda x: x.sort(2)[0][..., x.shape[2] // 2]),
    "arg_max": sound(lambda x: x.argmax(2)),
    "scattered": sound(_scattered),
}


class Itself(nn.Module):
    """Attention with one argument."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = self.net(x, x, x)
        return found


class Together(nn.Module):
    """Several modules of one input, an output each: one export tries them all."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: part(x) for name, part in self.parts.items()}


def together(*names: str) -> Small:
    """Some of `MODULES` that have the same inputs, as one."""
    return replace(MODULES[names[0]], make=lambda: Together({name: MODULES[name].make() for name in names}))


SLICE = {
    "pictures": together("adaptive_avg", "adaptive_max", "there_and_back", "bilinear_antialiased"),
    "rows": together("attention", "attention_causal", "attention_by_distance"),
}
"""What the tests try, with one masked module: of each kind those on which converters err most easily."""
