"""`bn_reestimate`: the means and variances of batch normalisation estimated again from the calibration data.

A pruned or factorised network feeds its normalisation layers other activations than those that their statistics were
gathered on; taking them again costs one pass forward and no training (Li et al. 2017, "Revisiting batch normalization
for practical domain adaptation").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UnsupportedByTarget
from .base import ModuleRecipe, RecipeContext

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram


class BnReestimate(ModuleRecipe):
    """The running statistics of every batch normalisation, over all calibration feeds."""

    name = "bn_reestimate"
    about = "means and variances of batch normalisation estimated again after compression: no training, no labels"
    needs_data = True
    searched = False  # by itself it has nothing to recover

    def changed(
        self, module: torch.nn.Module, graph: GraphProgram, work: RecipeContext, strength: float
    ) -> torch.nn.Module:
        """The module with other statistics.

        Raises:
            UnsupportedByTarget: it has no batch normalisation.
            BadInput: there are too few calibration items.
        """
        from .train import batches, settle_statistics, stacked

        feeds = work.need_feeds(graph.name, self.name)
        if not settle_statistics(
            module, (stacked(graph, [feeds[row] for row in rows]) for rows in batches(graph, feeds))
        ):
            raise UnsupportedByTarget(
                f"bn_reestimate: graph '{graph.name}' has no batch normalisation", "leave it out of the chain"
            )
        return module
