"""`distil@epochs`: a compressed model trained to answer as the original does, on the calibration data; labels help
where there are any.

Knowledge distillation (Hinton et al. 2015): nothing but inputs is needed, and what is recovered is likeness to the
original itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import ModuleRecipe, RecipeContext

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram


class Distil(ModuleRecipe):
    """Every weighted graph trained against the same graph of the original."""

    name = "distil"
    about = "knowledge distillation: the smaller model learns to answer as the original does, and recovers what it lost"
    strengths = (2, 4, 8, 12, 16, 24, 40)
    needs_data = True
    searched = False  # by itself it has nothing to recover

    def changed(
        self, module: torch.nn.Module, graph: GraphProgram, work: RecipeContext, strength: float
    ) -> torch.nn.Module:
        """The module, trained for up to so many epochs; raises BadInput where there are too few calibration items."""
        from .train import train

        return train(graph, module, work, self.name, epochs=int(strength), mixed=True)
