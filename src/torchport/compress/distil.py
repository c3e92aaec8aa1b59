"""`distil@epochs`: a compressed model taught to answer as the original does, on the calibration data; labels help where there are any.

Knowledge distillation (Hinton et al. 2015): nothing but inputs is needed, and what is won back is likeness to the original itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Recipe, Workshop

if TYPE_CHECKING:
    from ..capture.program import Program

RATE = 2e-3
"""Greatest learning rate of AdamW."""


class Distil(Recipe):
    """Every weighted graph trained against the same graph of the original."""

    name = "distil"
    about = "what compression lost, won back: the smaller model learns to answer as the original does"
    stage = "module"
    strengths = (2, 4, 8, 12, 16, 24, 40)
    needs_data = True
    searched = False  # by itself it has nothing to win back

    def apply(self, program: Program, work: Workshop, strength: float | None) -> Program:
        """The same graphs, trained for up to so many epochs.

        Raises:
            UnsupportedByTarget: there is no eager module.
            BadInput: there are too few calibration items.
        """
        from .pt2e import recapture
        from .train import module_of, train

        assert strength is not None, "parsed with a default"
        epochs = int(strength)
        return program.changed(lambda graph: recapture(graph, train(graph, module_of(graph, self.name), work, self.name, epochs=epochs, rate=RATE)))
