"""Operators in terms of simpler ones, for targets that lack them (needs torch)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - everybody calls it so

aten = torch.ops.aten


SIMPLER = (
    aten.grid_sampler.default,
    aten.grid_sampler_2d.default,
    aten.im2col.default,
    aten.col2im.default,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.channel_shuffle.default,
    aten.affine_grid_generator.default,
    aten.upsample_bicubic2d.vec,
    aten.unfold.default,
    aten.cumprod.default,
    aten.tril.default,
    aten.triu.default,
    aten.masked_scatter.default,
    aten.index_add.default,
    aten.roll.default,
    aten.renorm.default,
    aten.logaddexp.default,
    aten.nan_to_num.default,
    aten.hardswish.default,
    aten.mish.default,
    aten.lerp.Tensor,
    aten.lerp.Scalar,
)
"""Operators that targets lack or get wrong here and there, and that torch itself can write in simpler ones."""


def rsub(x: Tensor, other: float, alpha: float = 1) -> Any:
    """A number less a tensor of integers, in the dtype that torch answers in."""
    if x.is_floating_point():
        return NotImplemented
    return x.to(torch.result_type(x, other)) * -alpha + other


_SUM, _MEAN = 0, 1


def embedding_bag(weight: Tensor, indices: Tensor, offsets: Tensor, *settings: Any, **named: Any) -> Any:
    """Rows of a table, added up or averaged by bag: each row is scattered to its bag.

    Args:
        settings: the operator's, some of them by name: whether to scale gradients, the mode, whether gradients are
            sparse, weights of the rows, whether the last offset is included, the row of padding.
    """
    names = ("scale_grad_by_freq", "mode", "sparse", "per_sample_weights", "include_last_offset", "padding_idx")
    given = {**dict(zip(names, settings, strict=False)), **named}
    mode, per_sample_weights = given.get("mode", _SUM), given.get("per_sample_weights")
    include_last_offset, padding_idx = given.get("include_last_offset"), given.get("padding_idx")
    if mode not in (_SUM, _MEAN):
        return NotImplemented
    starts = offsets[:-1] if include_last_offset else offsets
    at = torch.arange(indices.shape[0], device=indices.device)
    bag = (at[:, None] >= starts[None]).sum(1) - 1
    seen = torch.ones_like(at, dtype=weight.dtype)
    if padding_idx is not None and padding_idx >= 0:
        seen = (indices != padding_idx).to(weight.dtype)
    share = seen if per_sample_weights is None else seen * per_sample_weights
    rows = F.embedding(indices, weight) * share[:, None]
    many = starts.shape[0]
    found = rows.new_zeros(many, rows.shape[1]).scatter_add(0, bag[:, None].expand(-1, rows.shape[1]), rows)
    count = seen.new_zeros(many).scatter_add(0, bag, seen)
    if mode == _MEAN:
        found = found / count.clamp(min=1)[:, None]
    return found, bag, count.to(torch.int64), torch.zeros_like(starts)


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    groups: int = 1,
) -> Any:
    """A convolution over frames too, as a sum of convolutions of single frames."""
    if x.dim() != 5:
        return NotImplemented
    steps, spread, taps = stride[0], dilation[0], weight.shape[2]
    x = F.pad(x, (0, 0, 0, 0, padding[0], padding[0])) if padding[0] else x
    many = (x.shape[2] - spread * (taps - 1) - 1) // steps + 1
    total: Tensor | None = None
    for tap in range(taps):
        frames = x[:, :, tap * spread : tap * spread + (many - 1) * steps + 1 : steps].transpose(1, 2)
        made = F.conv2d(
            frames.reshape(-1, *x.shape[1:2], *x.shape[3:]),
            weight[:, :, tap],
            None if tap else bias,
            list(stride[1:]),
            list(padding[1:]),
            list(dilation[1:]),
            groups,
        )
        total = made if total is None else total + made
    assert total is not None
    return total.reshape(x.shape[0], many, *total.shape[1:]).transpose(1, 2)


def padded(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: str = "valid",
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Any:
    """A convolution whose padding goes by its name, padded beforehand."""
    axes = weight.dim() - 2
    stride, dilation = ([*given] * (axes // len(given)) for given in (stride, dilation))
    if padding == "same":
        sides: list[int] = []
        for size, spread in zip(reversed(weight.shape[2:]), reversed(dilation), strict=True):
            more = spread * (size - 1)
            sides += [more // 2, more - more // 2]
        x = F.pad(x, sides)
    convolved: Any = (F.conv1d, F.conv2d, conv3d)[axes - 1]
    return convolved(x, weight, bias, stride, [0] * axes, dilation, groups)


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] | str = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Any:
    """A convolution of rows as one of pictures that are one pixel high."""
    pad = padding if isinstance(padding, str) else [0, *padding]
    rows, taps = x.unsqueeze(-2), weight.unsqueeze(-2)
    return F.conv2d(rows, taps, bias, [1, *stride], pad, [1, *dilation], groups).squeeze(-2)


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
    dilation: Sequence[int] = (1,),
) -> Any:
    """As `conv1d`, of a transposed one."""
    rows, taps = x.unsqueeze(-2), weight.unsqueeze(-2)
    return F.conv_transpose2d(
        rows, taps, bias, [1, *stride], [0, *padding], [0, *output_padding], groups, [1, *dilation]
    ).squeeze(-2)


def max_pool3d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    ceil_mode: bool = False,
) -> Any:
    """Maxima over frames too: of each frame first, and of these over the frames."""

    def pooled(one: Tensor, axes: slice) -> Tensor:
        """Over height and width, or with the width left alone, over frames."""
        size, step, pad, spread = ([*given[axes]] for given in (kernel, stride or kernel, padding3, dilation3))
        alone = len(size) == 1
        return F.max_pool2d(
            one,
            [*size, 1] if alone else size,
            [*step, 1] if alone else step,
            [*pad, 0] if alone else pad,
            [*spread, 1] if alone else spread,
            ceil_mode,
        )

    kernel, padding3, dilation3 = ([*given] * (3 // len(given)) for given in (kernel_size, padding, dilation))
    stride = [*stride] * (3 // len(stride)) if stride else ()
    return _by_frame(x, pooled)


def avg_pool3d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Means over frames too: of each frame first, and of these over the frames."""
    if ceil_mode or divisor_override or (any(padding) and not count_include_pad):
        return NotImplemented
    kernel, padding3 = ([*given] * (3 // len(given)) for given in (kernel_size, padding))
    steps = [*stride] * (3 // len(stride)) if stride else kernel

    def pooled(one: Tensor, axes: slice) -> Tensor:
        size, step, pad = ([*given[axes]] for given in (kernel, steps, padding3))
        alone = len(size) == 1
        return F.avg_pool2d(
            one, [*size, 1] if alone else size, [*step, 1] if alone else step, [*pad, 0] if alone else pad
        )

    return _by_frame(x, pooled)


def _by_frame(x: Tensor, pooled: Callable[[Tensor, slice], Tensor]) -> Any:
    if x.dim() != 5:
        return NotImplemented
    flat = pooled(x.reshape(-1, *x.shape[2:]), slice(1, 3))
    height, width = flat.shape[2:]
    found = pooled(flat.flatten(2), slice(0, 1))
    return found.reshape(*x.shape[:2], found.shape[1], height, width)


OWN: Mapping[Any, Callable[..., Any]] = {
    aten.rsub.Scalar: rsub,
    aten.embedding_bag.default: embedding_bag,
    aten.embedding_bag.padding_idx: embedding_bag,
    aten.conv3d.default: conv3d,
    aten.conv1d.padding: padded,
    aten.conv2d.padding: padded,
    aten.conv3d.padding: padded,
    aten.max_pool3d.default: max_pool3d,
    aten.avg_pool3d.default: avg_pool3d,
}
"""Operators that targets lack, as they are written here."""


ROWS_AS_PICTURES: Mapping[Any, Callable[..., Any]] = {
    aten.conv1d.default: conv1d,
    aten.conv1d.padding: conv1d,
    aten.conv_transpose1d.default: conv_transpose1d,
}
"""Convolutions of rows, for runtimes that fail on them where more than their length is free."""


def is_written(node: torch.fx.Node) -> bool:
    """Whether an operator of a program is written in simpler ones."""
    if node.target is aten.rsub.Scalar:
        x = node.args[0]
        return isinstance(x, torch.fx.Node) and not x.meta["val"].is_floating_point()
    return node.target in OWN or node.target in SIMPLER
