"""What recipes that act on layers one by one share: which layers there are, and how a change to their weights becomes a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import UnsupportedByTarget

if TYPE_CHECKING:
    import torch

    from ..capture.program import GraphProgram

FEWEST = 256
"""Weights that a layer must have to be worth changing."""


def weighty(module: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """The linear and convolution layers of a module that hold enough weights, by name."""
    import torch

    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds) and layer.weight.numel() >= FEWEST}


def need_weighty(module: torch.nn.Module, graph: GraphProgram, recipe: str) -> dict[str, torch.nn.Module]:
    """`weighty`, of which there must be some.

    Raises:
        UnsupportedByTarget: there is none.
    """
    found = weighty(module)
    if not found:
        raise UnsupportedByTarget(f"{recipe}: graph '{graph.name}' has no linear or convolution layer of {FEWEST} weights or more", "leave it out")
    return found


def changed_weights(graph: GraphProgram, recipe: str, change: Callable[[torch.Tensor], torch.Tensor]) -> GraphProgram:
    """The graph with every such layer's weight, float32 [outputs, inputs, ...], made anew; weights that layers share are changed once.

    Raises:
        UnsupportedByTarget: there is no eager module, or no such layer.
    """
    import torch

    from .pt2e import recapture
    from .train import module_of

    module = module_of(graph, recipe)
    with torch.no_grad():
        for weight in {id(layer.weight): layer.weight for layer in need_weighty(module, graph, recipe).values()}.values():
            weight.copy_(change(weight.detach()))  # type: ignore[operator]
    return recapture(graph, module)
