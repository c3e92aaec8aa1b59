"""`sparse@share`: the smallest weights set to zero, a share of each layer; the file is smaller once it is coded.

Unstructured magnitude pruning (Han et al. 2015). No runtime here multiplies faster by it: what it saves is the download
(`pack --smallest`), and `distil` after it keeps the zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import ModuleRecipe, RecipeContext
from .layers import changed_weights

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram


class Sparse(ModuleRecipe):
    """Zeros in place of the weights nearest to zero."""

    name = "sparse"
    about = (
        "unstructured pruning: the smallest weights of each layer set to zero: as fast and as large, a smaller download"
    )
    strengths = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
    searched = False  # neither the size on disk nor the time is less
    recovery = "distil"

    def changed(
        self, module: torch.nn.Module, graph: GraphProgram, work: RecipeContext, strength: float
    ) -> torch.nn.Module:
        """The module with that share of each layer's weights at zero; raises UnsupportedByTarget where it has no layer
        with weights.
        """

        def zeroed(weight: torch.Tensor) -> torch.Tensor:
            count = int(strength * weight.numel())
            return weight if not count else weight * (weight.abs() > weight.abs().flatten().kthvalue(count).values)

        return changed_weights(module, graph, self.name, zeroed)
