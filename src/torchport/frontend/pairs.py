"""Complex numbers as pairs of real tensors, and Fourier transforms as matrix products, for targets that have neither
(needs torch).

Each rule writes one operator of a captured program in terms of real ones; what it is given and hands on may be a Pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

aten = torch.ops.aten


class Pair(NamedTuple):
    """A complex tensor: its real and its imaginary part, of one shape."""

    re: Any
    im: Any


Rule = Callable[..., Any]


def _split(value: Any) -> Pair:
    """A Pair; what is real has no imaginary part."""
    return value if isinstance(value, Pair) else Pair(value, value * 0)


def _parts(operator: Any) -> Rule:
    """An operator that acts on both parts alike."""

    def write(x: Any, *more: Any, **named: Any) -> Any:
        if isinstance(x, Pair):
            return Pair(operator(x.re, *more, **named), operator(x.im, *more, **named))
        pairs = [_split(one) for one in x]
        return Pair(
            operator([one.re for one in pairs], *more, **named), operator([one.im for one in pairs], *more, **named)
        )

    return write


def _bilinear(operator: Any) -> Rule:
    """A product of any kind."""

    def write(a: Any, b: Any) -> Any:
        if not isinstance(b, Pair):
            return Pair(operator(a.re, b), operator(a.im, b))
        if not isinstance(a, Pair):
            return Pair(operator(a, b.re), operator(a, b.im))
        return Pair(
            operator(a.re, b.re) - operator(a.im, b.im),
            operator(a.re, b.im) + operator(a.im, b.re),
        )

    return write


def _summed(operator: Any) -> Rule:
    """A sum or a difference."""

    def write(a: Any, b: Any, **named: Any) -> Any:
        if not isinstance(b, Pair):
            return Pair(operator(a.re, b, **named), a.im)
        a = _split(a)
        return Pair(operator(a.re, b.re, **named), operator(a.im, b.im, **named))

    return write


def _divided(a: Any, b: Any) -> Any:
    if not isinstance(b, Pair):
        return Pair(a.re / b, a.im / b)
    a, size = _split(a), b.re * b.re + b.im * b.im
    return Pair((a.re * b.re + a.im * b.im) / size, (a.im * b.re - a.re * b.im) / size)


def _absolute(x: Pair) -> Any:
    return (x.re * x.re + x.im * x.im).sqrt()


def _squared(x: Pair, power: float) -> Any:
    if power != 2:
        return NotImplemented
    return Pair(x.re * x.re - x.im * x.im, 2 * x.re * x.im)


def _exponential(x: Pair) -> Pair:
    size = x.re.exp()
    return Pair(size * x.im.cos(), size * x.im.sin())


def _as_pairs(x: Any) -> Pair:
    return Pair(aten.select.int(x, -1, 0), aten.select.int(x, -1, 1))


def _count(size: Any) -> Any:
    """A size to compute with: what stands for a free one becomes a tensor."""
    return size if isinstance(size, int) else torch.arange(size).amax() + 1


def _waves(size: Any, rows: Any, *, inverse: bool) -> Pair:
    """The Fourier transform's matrix, [rows, size]: cosines and sines of angles that are exact, for they are taken from
    integers modulo the size.

    Args:
        size, rows: numbers, or what stands for them in the program that is written.
    """
    many = _count(size)
    turns = torch.remainder(torch.arange(rows).unsqueeze(1) * torch.arange(size), many).to(torch.float32)
    angle = turns * (2 * math.pi / many)
    return Pair(angle.cos(), angle.sin() if inverse else -angle.sin())


def _scaled(x: Pair, size: Any, norm: str | None, *, inverse: bool) -> Pair:
    """By 1/n, its root, or not at all, as torch.fft's `norm` says."""
    if norm == "ortho":
        power = 0.5
    elif (norm or "backward") == ("backward" if inverse else "forward"):
        power = 1.0
    else:
        return x
    many = _count(size)
    share = many**-power if isinstance(size, int) else many.to(torch.float32) ** -power
    return Pair(x.re * share, x.im * share)


def _transformed(x: Any, axis: int, size: Any, norm: str | None, *, inverse: bool, half: bool = False) -> Pair:
    """One axis of a tensor, transformed: a product with the matrix; `half` leaves out what mirrors the rest."""
    waves = _waves(size, size // 2 + 1 if half else size, inverse=inverse)
    cos, sin = waves.re.transpose(0, 1), waves.im.transpose(0, 1)
    if isinstance(x, Pair):
        re, im = x.re.transpose(axis, -1), x.im.transpose(axis, -1)
        found = Pair((re @ cos - im @ sin).transpose(axis, -1), (re @ sin + im @ cos).transpose(axis, -1))
    else:
        re = x.transpose(axis, -1)
        found = Pair((re @ cos).transpose(axis, -1), (re @ sin).transpose(axis, -1))
    return _scaled(found, size, norm, inverse=inverse)


def _mirrored(x: Any, axis: int, size: int, norm: str | None) -> Any:
    """The inverse along one axis to real numbers: only its first half is there, and the rest mirrors it."""
    half = size // 2 + 1
    waves = _waves(size, half, inverse=True)
    twice = 2.0 - (torch.arange(half) == 0).to(torch.float32)
    if size % 2 == 0:
        twice = twice - (torch.arange(half) == half - 1).to(torch.float32)
    x = _split(x)
    re, im = (part.transpose(axis, -1) * twice for part in x)
    found = (re @ waves.re - im @ waves.im).transpose(axis, -1)
    return _scaled(Pair(found, found), size, norm, inverse=True).re


def _size(x: Any, axis: int, shape: Sequence[Any]) -> Any:
    """A number, or what stands for a free size in the program that is written."""
    return shape[axis] if isinstance(shape[axis], int) else aten.sym_size.int(x.re if isinstance(x, Pair) else x, axis)


def _along(*, inverse: bool = False, real: bool = False) -> Rule:
    """A transform along one axis."""

    def write(x: Any, n: Any = None, dim: int = -1, norm: str | None = None, *, shape: Sequence[Any]) -> Any:
        if n is not None and n != shape[dim]:
            return NotImplemented
        return _transformed(x, dim, _size(x, dim, shape), norm, inverse=inverse, half=real)

    return write


_LAST_TWO = (-2, -1)


def _over(*, inverse: bool = False, real: bool = False, axes: Sequence[int] | None = None) -> Rule:
    """A transform over several axes, of which the last one's half is enough for real numbers.

    Args:
        axes: which, where the call does not say; None is all.
    """

    def write(x: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, shape: Sequence[Any]) -> Any:
        over = _axes(dim, axes, shape)
        if s is not None and list(s) != [shape[axis] for axis in over]:
            return NotImplemented
        for axis in reversed(over):
            half = real and axis == over[-1]
            x = _transformed(x, axis, _size(x, axis, shape), norm, inverse=inverse, half=half)
        return x

    return write


def _back(x: Any, n: Any = None, dim: int = -1, norm: str | None = None, *, shape: Sequence[Any]) -> Any:
    size = 2 * (shape[dim] - 1) if n is None else n
    if not isinstance(size, int) or shape[dim] != size // 2 + 1:
        return NotImplemented
    return _mirrored(x, dim, size, norm)


def _back_over(axes: Sequence[int] | None = None) -> Rule:
    """The inverse over several axes to real numbers."""

    def write(x: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, shape: Sequence[Any]) -> Any:
        *others, last = _axes(dim, axes, shape)
        if s is not None and list(s[:-1]) != [shape[axis] for axis in others]:
            return NotImplemented
        for axis in others:
            x = _transformed(x, axis, _size(x, axis, shape), norm, inverse=True)
        return _back(x, None if s is None else s[-1], last, norm, shape=shape)

    return write


def _axes(said: Sequence[int] | None, otherwise: Sequence[int] | None, shape: Sequence[Any]) -> Sequence[int]:
    return next((list(axes) for axes in (said, otherwise) if axes is not None), range(len(shape)))


_STFT = ("hop_length", "win_length", "window", "normalized", "onesided", "return_complex", "align_to_window")


def _short_time(x: Any, n_fft: int, *more: Any, shape: Sequence[Any], **named: Any) -> Any:
    """A short-time Fourier transform: one convolution by windowed waves, its step the hop.

    Args:
        more, named: the operator's other settings, in the order of `_STFT`.
    """
    said = dict.fromkeys(_STFT) | dict(zip(_STFT, more, strict=False)) | named
    hop, length, window = said["hop_length"] or n_fft // 4, said["win_length"] or n_fft, said["window"]
    x = x.unsqueeze(0) if len(shape) == 1 else x
    rows = n_fft if said["onesided"] is False else n_fft // 2 + 1
    waves = _waves(n_fft, rows, inverse=False)
    if window is not None:
        before = (n_fft - length) // 2
        window = torch.nn.functional.pad(window, (before, n_fft - length - before))
    scale = 1 / math.sqrt(n_fft) if said["normalized"] else 1.0

    def part(wave: Any) -> Any:
        kernel = wave * scale if window is None else wave * window * scale
        found = torch.nn.functional.conv1d(x.unsqueeze(1), kernel.unsqueeze(1), stride=hop)
        return found.squeeze(0) if len(shape) == 1 else found

    found = Pair(part(waves.re), part(waves.im))
    return found if said["return_complex"] else torch.stack([found.re, found.im], -1)


def _pair_to(x: Any, *more: Any, **named: Any) -> Pair:
    """A conversion: from real to complex, between complex numbers, or a copy."""
    return _split(x)


_ALIKE = (
    aten.view.default,
    aten.reshape.default,
    aten._unsafe_view.default,
    aten.transpose.int,
    aten.permute.default,
    aten.slice.Tensor,
    aten.select.int,
    aten.expand.default,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.squeeze.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.flatten.using_ints,
    aten.repeat.default,
    aten.cat.default,
    aten.stack.default,
    aten.neg.default,
    aten.sum.dim_IntList,
    aten.mean.dim,
    aten.flip.default,
    aten.roll.default,
    aten.index_select.default,
    aten.index.Tensor,
    aten.gather.default,
    aten.constant_pad_nd.default,
    aten.alias.default,
    aten.detach.default,
    aten.detach_.default,
    aten.lift_fresh_copy.default,
)

RULES: Mapping[Any, Rule] = {
    **{operator: _parts(operator) for operator in _ALIKE},
    **{one: _bilinear(one) for one in (aten.mul.Tensor, aten.mul.Scalar, aten.matmul.default, aten.mm.default)},
    **{one: _bilinear(one) for one in (aten.bmm.default,)},
    **{one: _summed(one) for one in (aten.add.Tensor, aten.sub.Tensor)},
    aten.div.Tensor: _divided,
    aten.abs.default: _absolute,
    aten.angle.default: lambda x: torch.atan2(x.im, x.re),
    aten.pow.Tensor_Scalar: _squared,
    aten.exp.default: _exponential,
    aten.conj.default: lambda x: Pair(x.re, -x.im),
    aten._conj.default: lambda x: Pair(x.re, -x.im),
    aten.conj_physical.default: lambda x: Pair(x.re, -x.im),
    aten.resolve_conj.default: lambda x: x,
    aten.resolve_neg.default: lambda x: x,
    aten.real.default: lambda x: x.re,
    aten.imag.default: lambda x: x.im,
    aten.view_as_real.default: lambda x: torch.stack([x.re, x.im], -1),
    aten._to_copy.default: _pair_to,
    aten.to.dtype: _pair_to,
}
"""What is written when an operator is given a Pair."""

MAKERS: Mapping[Any, Rule] = {
    aten.view_as_complex.default: _as_pairs,
    aten.complex.default: Pair,
    aten.polar.default: lambda size, angle: Pair(size * angle.cos(), size * angle.sin()),
    aten._to_copy.default: _pair_to,
    aten.to.dtype: _pair_to,
}
"""What is written for an operator that makes complex numbers of real ones."""

TRANSFORMS: Mapping[Any, Rule] = {
    aten.fft_fft.default: _along(),
    aten.fft_ifft.default: _along(inverse=True),
    aten.fft_rfft.default: _along(real=True),
    aten.fft_irfft.default: _back,
    aten.fft_fft2.default: _over(axes=_LAST_TWO),
    aten.fft_ifft2.default: _over(inverse=True, axes=_LAST_TWO),
    aten.fft_rfft2.default: _over(real=True, axes=_LAST_TWO),
    aten.fft_irfft2.default: _back_over(axes=_LAST_TWO),
    aten.fft_fftn.default: _over(),
    aten.fft_ifftn.default: _over(inverse=True),
    aten.fft_rfftn.default: _over(real=True),
    aten.fft_irfftn.default: _back_over(),
    aten.stft.default: _short_time,
}
"""Rules that want the `shape` of what they are given."""
