"""What recipes that act on layers one by one share: which layers there are, and how weights are changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedByTarget

if TYPE_CHECKING:
    import torch

    from ..capture.program import GraphProgram

FEWEST = 256
"""Weights that a layer must have to be worth changing."""


def need_weighty(module: torch.nn.Module, graph: GraphProgram, recipe: str) -> dict[str, Any]:
    """The linear and convolution layers of a module that hold enough weights, by name.

    Raises:
        UnsupportedByTarget: there is none.
    """
    import torch

    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    found = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, kinds) and layer.weight.numel() >= FEWEST
    }
    if not found:
        raise UnsupportedByTarget(
            f"{recipe}: graph '{graph.name}' has no linear or convolution layer of {FEWEST} weights or more",
            "leave it out",
        )
    return found


def changed_weights(
    module: torch.nn.Module, graph: GraphProgram, recipe: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> torch.nn.Module:
    """The module with every such layer's weight, float32 [outputs, inputs, ...], made anew; weights that layers share
    are changed once.

    Raises:
        UnsupportedByTarget: there is no such layer.
    """
    import torch

    with torch.no_grad():
        for weight in {
            id(layer.weight): layer.weight for layer in need_weighty(module, graph, recipe).values()
        }.values():
            weight.copy_(change(weight.detach()))
    return module
