"""Which layers the answers hang on: those that alter the outputs, once they alone are changed, far more than the middle
layer does.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SENSITIVE = 4.0
"""How many times the middle layer's change is too much."""

PROBES = 8
"""Feeds that it is measured on."""


def sensitive(change: Mapping[str, float]) -> list[str]:
    """The layers whose change alters the outputs far more than the middle layer's does.

    Args:
        change: layer -> how far the outputs are with it changed.
    """
    middle = statistics.median(change.values()) if change else 0.0
    return [layer for layer, amount in change.items() if amount > SENSITIVE * max(middle, 1e-9)]


def difference(outputs: Any, wanted: Any) -> float:
    """How far outputs are from others of the same structure, as a share of those."""
    answer = _flat(wanted)
    return float((_flat(outputs) - answer).norm() / (answer.norm() + 1e-12))


def _flat(outputs: Any) -> torch.Tensor:
    import torch
    from torch.utils import _pytree as pytree

    return torch.cat([leaf.float().flatten() for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor)])
