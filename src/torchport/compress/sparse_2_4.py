"""`sparse_2_4`: of every four weights in a row the two smaller ones set to zero, as the sparse units of GPUs take them.

The pattern of Mishra et al. 2021, "Accelerating sparse deep neural networks". On a CPU it saves half of the download
(`pack --smallest`) and no time; `distil` after it keeps the zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import ModuleRecipe, RecipeContext
from .layers import changed_weights

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram

GROUP, KEPT = 4, 2


class Sparse24(ModuleRecipe):
    """Two zeros among each four weights that one output sums over."""

    name = "sparse_2_4"
    about = (
        "two of every four weights in a row set to zero, the pattern of sparse GPU units: as large and as fast on a "
        "CPU, a smaller download"
    )
    searched = False  # neither the size on disk nor the time is less
    recovery = "distil"

    def changed(
        self, module: torch.nn.Module, graph: GraphProgram, work: RecipeContext, strength: float
    ) -> torch.nn.Module:
        """The module; layers whose rows are no multiple of four stay as they are. Raises UnsupportedByTarget where it
        has no layer with weights.
        """
        return changed_weights(module, graph, self.name, _two_of_four)


def _two_of_four(weight: torch.Tensor) -> torch.Tensor:
    import torch

    rows = weight.movedim(1, -1).contiguous()  # the input channels last: those are summed over, and lie in fours
    if rows.shape[-1] % GROUP:
        return weight
    fours = rows.reshape(-1, GROUP)
    kept = torch.zeros_like(fours).scatter_(1, fours.abs().topk(KEPT, dim=1).indices, 1.0)
    return (fours * kept).reshape(rows.shape).movedim(-1, 1).contiguous()
