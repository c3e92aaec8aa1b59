"""`int8_xnnpack`: weights and activations as signed 8-bit integers, the way that XNNPACK's kernels for phones take
them.

The nodes to quantise are those that ExecuTorch's quantiser for XNNPACK names: convolutions and matrix multiplications
with what follows them, and the sums and means between them, so that a whole network stays in integers. Channels are
equalised first; ranges are found by histograms over the calibration data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import ProgramRecipe, RecipeContext
from .int8_static import MOST_FEEDS

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram


class Int8Xnnpack(ProgramRecipe):
    """Per channel for weights, symmetric; per tensor for activations."""

    name = "int8_xnnpack"
    about = (
        "weights and activations as 8-bit integers for XNNPACK on phones, ranges found on calibration data: a quarter "
        "of the size"
    )
    precision = "int8_xnnpack"
    modules = ("executorch", "torchao")
    needs_data = True

    def converted(self, graph: GraphProgram, work: RecipeContext, strength: float) -> torch.nn.Module:
        """The graph in integers."""
        from ..frontend.observing import observed
        from ..targets.executorch import xnnpack_quantizer
        from .equalise import equalised
        from .layers import tensors
        from .pt2e import opened

        calls = [tensors(graph, feed) for feed in work.need_feeds(graph.name, self.name)[:MOST_FEEDS]]
        return observed(equalised(opened(graph, self.name), calls), xnnpack_quantizer(), calls)
