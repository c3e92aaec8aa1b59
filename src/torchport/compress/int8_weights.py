"""`int8_weights`: weights as 8-bit integers with one scale a channel; activations and arithmetic stay in float32.

It needs no data, and makes no runtime slower: one that cannot multiply integers by floats unpacks them when it opens
the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import ProgramRecipe, RecipeContext
from .layers import FEWEST

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

    from ..frontend.program import GraphProgram


class Int8Weights(ProgramRecipe):
    """Symmetric int8 a channel: of the outputs for a product or a convolution, of the rows for an embedding table."""

    name = "int8_weights"
    about = (
        "weights as 8-bit integers, one scale a channel; arithmetic in float32: a quarter of the size, no data needed"
    )
    precision = "int8_weights"
    modules = ("torchao",)

    def converted(self, graph: GraphProgram, work: RecipeContext, strength: float) -> torch.nn.Module:
        """The graph with quantised weights."""
        from ..frontend.observing import observed
        from .layers import tensors
        from .pt2e import opened, quantizer

        return observed(opened(graph, self.name), quantizer(annotate), [tensors(graph, graph.examples)])


def annotate(model: GraphModule) -> None:
    """Mark every weight tensor that is worth it."""
    import torch
    from torchao.quantization.pt2e import PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    from .pt2e import weights

    for node, user, value in weights(model):
        if value.numel() < FEWEST:
            continue
        spec = QuantizationSpec(
            dtype=torch.int8,
            observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=2**-24),
            quant_min=-127,
            quant_max=127,
            qscheme=torch.per_channel_symmetric,
            ch_axis=channel_axis(user, node, value.dim()),
        )
        node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(output_qspec=spec, _annotated=True)


def channel_axis(user: Node, weight: Node, dims: int) -> int:
    """The axis of a weight whose slices share nothing: its output channels, or the rows of a table."""
    name = str(user.target)
    if "conv_transpose" in name:
        return 1
    if ("matmul" in name or "mm." in name) and len(user.args) > 1 and user.args[-1] is weight:
        return dims - 1
    return 0
