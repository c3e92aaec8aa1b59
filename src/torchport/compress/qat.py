"""`qat@epochs`: 8-bit weights and activations, trained while they are rounded, so that the network learns to live with
it.

Quantisation-aware training (Jacob et al. 2018) with torchao's fake quantisers on the exported graph; the teacher is the
original, as in `distil`. Batch normalisation is folded into its convolution first, as it is in the artefact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import ProgramRecipe, RecipeContext

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram


class Qat(ProgramRecipe):
    """What `int8_static` lost, recovered by quantisation-aware training."""

    name = "qat"
    about = "quantisation-aware training: 8-bit weights and activations, trained with the rounding in place"
    precision = "int8_static"
    modules = ("torchao",)
    strengths = (1, 2, 4, 8, 12)
    needs_data = True
    searched = False  # hours where int8_static takes a minute: asked for by name

    def converted(self, graph: GraphProgram, work: RecipeContext, strength: float) -> torch.nn.Module:
        """The graph, trained for up to `strength` epochs and quantised."""
        return _trained(graph, work, int(strength))


def _trained(graph: GraphProgram, work: RecipeContext, epochs: int) -> torch.nn.Module:
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
    from torchao.quantization.pt2e.utils import _fuse_conv_bn_

    from .pt2e import opened, x86_quantizer
    from .train import train

    class Prepared(torch.nn.Module):
        """The graph module, which cannot change between training and evaluation, as a module that can."""

        def __init__(self, made: Any) -> None:
            super().__init__()
            self.made = [made]  # out of sight of `train()` and `eval()`
            for name, child in made.named_children():
                if name.startswith("activation_post_process"):
                    self.add_module(name, child)
            self.weights = torch.nn.ParameterDict(
                {name.replace(".", "/"): weight for name, weight in made.named_parameters()}
            )

        def forward(self, *tensors: torch.Tensor) -> Any:
            return self.made[0](*tensors)

    exported = opened(graph, Qat.name)
    _fuse_conv_bn_(exported)
    prepared = prepare_qat_pt2e(exported, x86_quantizer(training=True))
    student = Prepared(prepared)
    train(graph, student, work, Qat.name, epochs=epochs, mixed=False)  # the rounding is done in float32
    made: torch.nn.Module = convert_pt2e(prepared)
    return made
