"""`int8_xnnpack`: weights and activations as signed 8-bit integers, the way that XNNPACK's kernels for phones take
them.

The nodes to quantise are those that ExecuTorch's quantiser for XNNPACK names: convolutions and matrix multiplications
with what follows them, and the sums and means between them, so that a whole network stays in integers. Channels are
equalised first; ranges are found by histograms over the calibration data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Recipe, RecipeContext
from .int8_static import MOST_FEEDS

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram, Program


class Int8Xnnpack(Recipe):
    """Per channel for weights, symmetric; per tensor for activations."""

    name = "int8_xnnpack"
    about = (
        "weights and activations as 8-bit integers for XNNPACK on phones, ranges found on calibration data: a quarter "
        "of the size"
    )
    stage = "program"
    precision = "int8_xnnpack"
    modules = ("executorch", "torchao")
    needs_data = True

    def apply(self, program: Program, work: RecipeContext, strength: float | None) -> Program:
        """The same graphs in integers.

        Raises:
            UnsupportedByTarget: a graph was not exported, or cannot be quantised.
            BadInput: there are too few calibration items.
        """
        from ..frontend.observing import observed
        from ..targets.executorch import xnnpack_quantizer
        from .equalise import equalised
        from .layers import tensors
        from .pt2e import opened, quantise

        def one(graph: GraphProgram) -> torch.nn.Module:
            calls = [tensors(graph, feed) for feed in work.need_feeds(graph.name, self.name)[:MOST_FEEDS]]
            return observed(equalised(opened(graph, self.name), calls), xnnpack_quantizer(), calls)

        return quantise(program, self.name, one)
