"""`cluster@values`: every layer's weights rounded to so many different values, found by k-means; the file is smaller once it is coded.

Weight sharing (Han et al. 2016, "Deep compression"), its clusters begun evenly between the smallest and the largest weight, which
they found best. Runtimes see ordinary floats: what it saves is the download (`pack --smallest`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .base import Recipe, Workshop
from .layers import changed_weights

if TYPE_CHECKING:
    import torch

    from ..capture.program import Program

ROUNDS = 20


class Cluster(Recipe):
    """A few values a layer."""

    name = "cluster"
    about = "each layer's weights rounded to a few shared values: as fast and as large, a smaller download"
    stage = "module"
    strengths = (256, 128, 64, 32, 16, 8)
    searched = False  # neither the size on disk nor the time is less

    def apply(self, program: Program, work: Workshop, strength: float | None) -> Program:
        """The same graphs with so many different weights a layer.

        Raises:
            UnsupportedByTarget: there is no eager module, or it has no layer with weights.
        """
        assert strength is not None, "parsed with a default"
        values = int(strength)
        return program.changed(lambda graph: changed_weights(graph, self.name, lambda weight: _shared(weight, values)))


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
        centres = np.sort(moved)
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, numbers)
    return torch.from_numpy(centres[nearest].astype(np.float32).reshape(weight.shape))
