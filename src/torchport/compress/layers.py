"""What recipes that act on layers one by one share: which layers there are, on which the answer hangs, and how weights are changed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UnsupportedByTarget

if TYPE_CHECKING:
    import torch

    from ..capture.program import GraphProgram

Layer = TypeVar("Layer")

FEWEST = 256
"""Weights that a layer must have to be worth changing."""

SENSITIVE = 4.0
"""A layer stays whole whose change alters the outputs by this many times what the middle layer's does."""

PROBES = 8
"""Feeds that sensitivity is measured on."""


def need_weighty(module: torch.nn.Module, graph: GraphProgram, recipe: str) -> dict[str, Any]:
    """The linear and convolution layers of a module that hold enough weights, by name.

    Raises:
        UnsupportedByTarget: there is none.
    """
    import torch

    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    found = {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds) and layer.weight.numel() >= FEWEST}
    if not found:
        raise UnsupportedByTarget(f"{recipe}: graph '{graph.name}' has no linear or convolution layer of {FEWEST} weights or more", "leave it out")
    return found


def changed_weights(module: torch.nn.Module, graph: GraphProgram, recipe: str, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.nn.Module:
    """The module with every such layer's weight, float32 [outputs, inputs, ...], made anew; weights that layers share are changed once.

    Raises:
        UnsupportedByTarget: there is no such layer.
    """
    import torch

    with torch.no_grad():
        for weight in {id(layer.weight): layer.weight for layer in need_weighty(module, graph, recipe).values()}.values():
            weight.copy_(change(weight.detach()))
    return module


def difference(outputs: Any, wanted: Any) -> float:
    """How far outputs are from others of the same structure, as a share of those."""
    answer = _flat(wanted)
    return float((_flat(outputs) - answer).norm() / (answer.norm() + 1e-12))


def sensitive(change: Mapping[Layer, float]) -> list[Layer]:
    """The layers whose change alters the outputs far more than the middle layer's does.

    Args:
        change: layer -> how far the outputs are with it changed.
    """
    middle = statistics.median(change.values()) if change else 0.0
    return [layer for layer, amount in change.items() if amount > SENSITIVE * max(middle, 1e-9)]


def _flat(outputs: Any) -> torch.Tensor:
    import torch
    from torch.utils import _pytree as pytree

    return torch.cat([leaf.float().flatten() for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor)])
