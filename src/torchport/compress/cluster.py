"""`cluster@values`: every layer's weights rounded to so many different values, found by k-means; the file is smaller
once it is coded.

Weight sharing (Han et al. 2016, "Deep compression"), its clusters begun evenly between the smallest and the largest
weight, which they found best. Runtimes see ordinary floats: what it saves is the download (`pack --smallest`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .base import ModuleRecipe, RecipeContext
from .layers import changed_weights

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram

ROUNDS = 20


class Cluster(ModuleRecipe):
    """A few values a layer."""

    name = "cluster"
    about = (
        "weight clustering: each layer's weights rounded to a few shared values: as fast and as large, a smaller "
        "download"
    )
    strengths = (256, 128, 64, 32, 16, 8)
    searched = False  # neither the size on disk nor the time is less

    def changed(
        self, module: torch.nn.Module, graph: GraphProgram, work: RecipeContext, strength: float
    ) -> torch.nn.Module:
        """The module with so many different weights a layer; raises UnsupportedByTarget where it has no layer with
        weights.
        """
        return changed_weights(module, graph, self.name, lambda weight: _shared(weight, int(strength)))


def _shared(weight: torch.Tensor, values: int) -> torch.Tensor:
    import torch

    if weight.numel() <= values:
        return weight
    numbers = weight.numpy().ravel()
    centres = np.linspace(numbers.min(), numbers.max(), values)
    for _ in range(ROUNDS):
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, numbers)
        count = np.bincount(nearest, minlength=values)
        moved = np.where(count, np.bincount(nearest, weights=numbers, minlength=values) / np.maximum(count, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved  # still in order: each is between the bounds of its own cluster
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, numbers)
    return torch.from_numpy(centres[nearest].astype(np.float32).reshape(weight.shape))
