"""What recipes that act on layers one by one share: which layers there are, and how weights are changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnsupportedByTarget

if TYPE_CHECKING:
    import torch

    from ..feed import Arrays
    from ..frontend.program import GraphProgram

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


def module_of(graph: GraphProgram, recipe: str) -> torch.nn.Module:
    """The eager module behind a graph, in a copy of its own.

    Raises:
        UnsupportedByTarget: the source had none.
    """
    import torch

    if graph.module is None or isinstance(graph.module, torch.jit.ScriptModule):
        raise UnsupportedByTarget(
            f"{recipe} changes the eager module, and graph '{graph.name}' came without one",
            "deploy from the Python that builds the model, with --weights",
        )
    module = copy.deepcopy(graph.module).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def tensors(graph: GraphProgram, feed: Arrays) -> tuple[torch.Tensor, ...]:
    """A feed as forward's positional arguments."""
    import torch

    return tuple(torch.from_numpy(np.ascontiguousarray(feed[spec.name])) for spec in graph.signature.inputs)
