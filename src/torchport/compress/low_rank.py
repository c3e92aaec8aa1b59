"""`low_rank@share`: each layer's weights as the product of two thin matrices that hold that share fewer numbers.

Truncated singular value decomposition of the weight as a matrix [outputs, inputs x kernel] (Denton et al. 2014): a
linear layer becomes two, a convolution one to few channels and one of a single pixel back to all. Layers on which the
answer depends most stay whole. What was lost is recovered by `distil` after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedByTarget
from .base import ModuleRecipe, RecipeContext
from .layers import need_weighty
from .sensitivity import PROBES, difference, sensitive

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram


class LowRank(ModuleRecipe):
    """Two thin layers in place of each one that can spare it."""

    name = "low_rank"
    about = "low-rank factorisation: each layer's weights as two small matrices; a smaller file, fewer multiplications"
    strengths = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    needs_data = True
    searched = False  # thinning whole channels has kept more for the same time wherever both were tried
    recovery = "distil"

    def changed(
        self, module: torch.nn.Module, graph: GraphProgram, work: RecipeContext, strength: float
    ) -> torch.nn.Module:
        """The module with its layers factorised.

        Raises:
            UnsupportedByTarget: no layer can be factorised.
            BadInput: there are too few calibration items.
        """
        import torch

        from .layers import tensors

        layers = {
            name: layer for name, layer in need_weighty(module, graph, self.name).items() if _rank(layer, strength)
        }
        feeds = [tensors(graph, feed) for feed in work.need_feeds(graph.name, self.name)[:PROBES]]
        thin, change = {}, dict[str, float]()
        with torch.no_grad():
            wanted = [module(*feed) for feed in feeds]
            for name, layer in layers.items():
                thin[name] = _factorised(layer, strength)
                module.set_submodule(name, thin[name])
                try:
                    change[name] = sum(
                        difference(module(*feed), answer) for feed, answer in zip(feeds, wanted, strict=True)
                    )
                except Exception:  # code that reads a layer's own weight, as PyTorch's attention does: that layer stays
                    work.tell(f"low_rank: layer {name} is read by its weights and stays")
                module.set_submodule(name, layer)
        if not change:
            raise UnsupportedByTarget(f"low_rank: no layer of graph '{graph.name}' can be factorised", "try prune")
        chosen = change.keys() - sensitive(change)
        for name in chosen:
            module.set_submodule(name, thin[name])
        work.tell(f"low_rank: {len(chosen)} of {len(layers)} layers factorised")
        return module


def _rank(layer: Any, share: float) -> int:
    """The rank that leaves `1 - share` of the weights; 0 where none does, or where a convolution is grouped."""
    outputs, inputs = layer.weight.flatten(1).shape
    return 0 if getattr(layer, "groups", 1) > 1 else int((1 - share) * outputs * inputs / (outputs + inputs))


def _factorised(layer: Any, share: float) -> torch.nn.Module:
    import torch

    rank = _rank(layer, share)
    left, values, right = torch.linalg.svd(layer.weight.detach().flatten(1), full_matrices=False)
    root = values[:rank].sqrt()
    first, second = root[:, None] * right[:rank], left[:, :rank] * root
    bias = layer.bias is not None
    thin: Any
    wide: Any
    if isinstance(layer, torch.nn.Linear):
        thin, wide = (
            torch.nn.Linear(layer.in_features, rank, bias=False),
            torch.nn.Linear(rank, layer.out_features, bias=bias),
        )
    else:
        kind = type(layer)
        thin = kind(
            layer.in_channels,
            rank,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            bias=False,
            padding_mode=layer.padding_mode,
        )
        wide = kind(rank, layer.out_channels, 1, bias=bias)
    with torch.no_grad():
        thin.weight.copy_(first.reshape(thin.weight.shape))
        wide.weight.copy_(second.reshape(wide.weight.shape))
        if bias:
            wide.bias.copy_(layer.bias)
    made = torch.nn.Sequential(thin, wide).eval()
    for parameter in made.parameters():
        parameter.requires_grad_(False)
    return made
