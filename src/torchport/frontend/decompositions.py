"""Operators that converters write wrongly at some sizes or values, in terms of others that they write right (needs
torch).

Each is replaced only where the converter errs: elsewhere its own form is as right, and often faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from torch.export import ExportedProgram

aten = torch.ops.aten


class Replacement(NamedTuple):
    """What stands for an operator: `write` answers NotImplemented where `errs` would not hold; `errs` tells from a node
    of the program.
    """

    write: Callable[..., Any]
    errs: Callable[[torch.fx.Node], bool]


def decomposed(exported: ExportedProgram, table: Mapping[Any, Replacement]) -> ExportedProgram:
    """The program with the operators of a table replaced where they err; the program itself where they nowhere do."""
    graphs = [module.graph for module in exported.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    wrong = {
        node.target
        for graph in graphs
        for node in graph.nodes
        if node.target in table and table[node.target].errs(node)
    }
    return exported.run_decompositions({target: table[target].write for target in wrong}) if wrong else exported


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Attention under a mask, where a query that may see nothing answers zeros, as torch says; converters average over
    all keys, or divide by zero.
    """
    if attn_mask is None:
        return NotImplemented
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)
    seen = attn_mask if attn_mask.dtype == torch.bool else attn_mask != -math.inf
    scores = torch.where(seen, scores, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return torch.where(seen.any(-1, keepdim=True), torch.softmax(scores, -1) @ value, 0.0)


def _windows(size: Any, bins: int, like: torch.Tensor) -> torch.Tensor:
    """Which of `size` places each of `bins` windows of an adaptive pool covers: bool[bins, size]."""
    at = torch.arange(size, device=like.device)
    first = torch.arange(bins, device=like.device) * size // bins
    last = ((torch.arange(bins, device=like.device) + 1) * size + bins - 1) // bins
    inside: torch.Tensor = (at >= first[:, None]) & (at < last[:, None])
    return inside


def _varies(x: torch.Tensor, output_size: Sequence[Any]) -> bool:
    sizes = x.shape[-len(output_size) :]
    return (
        all(isinstance(size, int) for size in output_size)
        and any(not isinstance(size, int) for size in sizes)
        and any(size != 1 for size in output_size)
    )


def _pools(node: torch.fx.Node) -> bool:
    x, output_size = node.args[:2]
    return (
        isinstance(x, torch.fx.Node) and isinstance(output_size, list | tuple) and _varies(x.meta["val"], output_size)
    )


def adaptive_average(x: torch.Tensor, output_size: Sequence[int]) -> Any:
    """An adaptive average pool of a picture or a row whose size is free; converters write the windows of the
    example.
    """
    if not _varies(x, output_size):
        return NotImplemented
    for axis, bins in zip(range(-len(output_size), 0), output_size, strict=True):
        share = _windows(x.shape[axis], bins, x).to(x.dtype)
        x = (x.transpose(axis, -1) @ (share / share.sum(1, keepdim=True)).T).transpose(axis, -1)
    return x


def adaptive_maximum(x: torch.Tensor, output_size: Sequence[int]) -> Any:
    """An adaptive maximum pool of a picture or a row whose size is free. Its second output, where each maximum was, is
    not told.
    """
    if not _varies(x, output_size):
        return NotImplemented
    for axis, bins in zip(range(-len(output_size), 0), output_size, strict=True):
        inside = _windows(x.shape[axis], bins, x)
        inside = inside.reshape(bins, -1, *[1] * (-axis - 1))
        x = torch.where(inside, x.unsqueeze(axis - 1), -math.inf).amax(axis)
    return x, torch.zeros_like(x, dtype=torch.int64)


def scattered_mean(
    x: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor, reduce: str, *, include_self: bool = True
) -> Any:
    """A mean of what is scattered to one place; ONNX has no such reduction, and converters take the sum."""
    if reduce != "mean" or not x.dtype.is_floating_point:
        return NotImplemented
    count = torch.zeros_like(x).scatter_add(dim, index, torch.ones_like(src))
    base = x if include_self else torch.where(count > 0, 0.0, x)
    return base.scatter_add(dim, index, src) / (count + 1 if include_self else count.clamp(min=1))


_AVERAGE, _MAXIMUM = Replacement(adaptive_average, _pools), Replacement(adaptive_maximum, _pools)

FOR_ONNX: dict[Any, Replacement] = {
    aten.scaled_dot_product_attention.default: Replacement(
        attention,
        lambda node: (len(node.args) > 3 and node.args[3] is not None) or node.kwargs.get("attn_mask") is not None,
    ),
    aten.adaptive_avg_pool1d.default: _AVERAGE,
    aten.adaptive_avg_pool2d.default: _AVERAGE,
    aten.adaptive_avg_pool3d.default: _AVERAGE,
    aten.adaptive_max_pool1d.default: _MAXIMUM,
    aten.adaptive_max_pool2d.default: _MAXIMUM,
    aten.scatter_reduce.two: Replacement(scattered_mean, lambda node: "mean" in node.args),
}
"""What PyTorch's ONNX exporter errs in."""
