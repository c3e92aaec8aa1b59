"""`prune@share`: whole channels taken out, with everything that depends on them, by torch-pruning's dependency graph.

Structured pruning: what is left is an ordinary smaller network, faster on every runtime. The channels of all layers
compete: those go whose weights, with all that depends on them (Fang et al. 2023, DepGraph), matter least to the answer:
sum of w**2 F, with the diagonal F of the Fisher information on calibration data (LeCun et al. 1989, Optimal Brain
Damage; Theis et al. 2018). So a layer on which the answer depends stays nearly whole. What was lost is recovered by
`distil` after it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedByTarget, first_line
from .base import ModuleRecipe, RecipeContext

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram

ROUND_TO = 8
"""Channels are kept in multiples of this, which vector units take at once; layers of fewer are pruned to multiples of
a quarter of it.
"""

MOST = 0.85
"""Share of its channels that a layer loses at most."""

PROBES = 64
"""Feeds that the Fisher information is found on, at most."""


class Prune(ModuleRecipe):
    """A share of all channels, from the layers that can spare them."""

    name = "prune"
    about = "structured pruning: that share of all channels removed, those on which the answer depends least"
    modules = ("torch_pruning",)
    strengths = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    needs_data = True
    recovery = "distil"

    def changed(
        self, module: torch.nn.Module, graph: GraphProgram, work: RecipeContext, strength: float
    ) -> torch.nn.Module:
        """The module with fewer channels.

        Raises:
            UnsupportedByTarget: a layer's shapes are written into the code, or the graph has no derivative.
            BadInput: there are too few calibration items.
        """
        from .layers import tensors

        feeds = [tensors(graph, feed) for feed in work.need_feeds(graph.name, self.name)[:PROBES]]
        example = tuple(graph.args())
        kept = _outputs(module, example)
        layers = [layer for layer in _prunable(module) if layer not in kept]
        try:
            told = _fisher(module, feeds, work.seed)
        except RuntimeError as exc:  # an operator without a derivative, or answers that are no numbers
            raise UnsupportedByTarget(
                f"prune: graph '{graph.name}' does not tell on which weights it depends: {_where(module, (), exc)}",
                "leave it out",
            ) from exc
        for parameter, information in told.items():
            parameter.grad = information  # where torch-pruning looks for it
        try:
            pruned = _pruned(module, example, strength, kept)
        except Exception as whole:  # torch-pruning, or the module's own code once its shapes have changed
            lost = {layer: _lost_alone(module, example, strength, layer, layers, kept) for layer in layers}
            fixed = [layer for layer, count in lost.items() if count is None]
            bound = [
                layer for layer, count in lost.items() if count == 0
            ]  # to others, such as all that add to one stream of activations
            if len(fixed) + len(bound) == len(layers):
                raise UnsupportedByTarget(
                    f"prune: no layer of graph '{graph.name}' can lose channels: {_where(module, fixed, whole)}",
                    "write views with -1 or with the tensor's own sizes",
                ) from whole
            try:
                pruned = _first(module, example, strength, [*kept, *fixed], [*kept, *fixed, *bound])
            except Exception as exc:
                raise UnsupportedByTarget(
                    f"prune: graph '{graph.name}' does not run with fewer channels: {_where(module, fixed, exc)}",
                    "write views with -1 or with the tensor's own sizes",
                ) from exc
        work.tell(f"prune: {_count(module):,} -> {_count(pruned):,} weights")
        return pruned


def _prunable(module: torch.nn.Module) -> list[torch.nn.Module]:
    import torch

    return [
        layer
        for layer in module.modules()
        if isinstance(layer, torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Linear) and getattr(layer, "groups", 1) == 1
    ]


def _pruned(
    module: torch.nn.Module, example: tuple[torch.Tensor, ...], share: float, ignored: Sequence[torch.nn.Module]
) -> torch.nn.Module:
    """A pruned copy that was seen to run."""
    import torch
    import torch_pruning

    from ..system.noise import quiet

    names = {layer: name for name, layer in module.named_modules()}
    made = copy.deepcopy(module)
    found = dict(made.named_modules())
    widest = max((len(layer.weight) for layer in _prunable(made)), default=0)  # type: ignore[arg-type]
    for parameter, original in zip(made.parameters(), module.parameters(), strict=True):
        parameter.requires_grad_(True)
        parameter.grad = None if original.grad is None else original.grad.clone()
    with quiet():
        pruner = torch_pruning.pruner.BasePruner(
            made,
            example,
            importance=torch_pruning.importance.GroupHessianImportance(group_reduction="sum", normalizer=None),
            global_pruning=True,
            pruning_ratio=share,
            max_pruning_ratio=MOST,
            ignored_layers=[found[names[layer]] for layer in ignored],
            round_to=ROUND_TO if widest >= 8 * ROUND_TO else ROUND_TO // 4,
        )
        pruner.step()
    for parameter in made.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    with torch.no_grad():
        made(*example)
    return made


def _first(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    share: float,
    ignored: Sequence[torch.nn.Module],
    more: Sequence[torch.nn.Module],
) -> torch.nn.Module:
    """Pruned but for some layers, or, where that does not run, for more of them."""
    try:
        return _pruned(module, example, share, ignored)
    except Exception:
        return _pruned(module, example, share, more)


def _lost_alone(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    share: float,
    layer: torch.nn.Module,
    layers: Sequence[torch.nn.Module],
    kept: Sequence[torch.nn.Module],
) -> int | None:
    """How many weights the module loses with that layer alone pruned; None where it does not run then: its code may
    count on a number of channels.
    """
    try:
        return _count(module) - _count(
            _pruned(module, example, share, [*kept, *(other for other in layers if other is not layer)])
        )
    except Exception:
        return None


def _outputs(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> list[torch.nn.Module]:
    """The layers whose channels are the answer: those that made an output, and the last one that ran."""
    import torch
    from torch.utils import _pytree as pytree

    made: dict[int, torch.nn.Module] = {}
    order: list[torch.nn.Module] = []

    def watch(layer: torch.nn.Module, _: Any, output: Any) -> None:
        order.append(layer)
        if isinstance(output, torch.Tensor):
            made[output.data_ptr()] = layer

    hooks = [layer.register_forward_hook(watch) for layer in _prunable(module)]
    try:
        with torch.no_grad():
            answers = pytree.tree_leaves(module(*example))
    finally:
        for hook in hooks:
            hook.remove()
    found = [
        made[answer.data_ptr()] for answer in answers if isinstance(answer, torch.Tensor) and answer.data_ptr() in made
    ]
    return list(dict.fromkeys([*found, *order[-1:]]))


def _fisher(
    module: torch.nn.Module, feeds: Sequence[tuple[torch.Tensor, ...]], seed: int
) -> dict[torch.nn.Parameter, torch.Tensor]:
    """The diagonal of the Fisher information, up to a factor, of each parameter: squared gradients of answers drawn
    from what the module itself answers, of classes by their scores, of any other number from a normal distribution
    about it. Where no answer has a gradient, 1 for each, which leaves magnitudes to decide."""
    import torch
    from torch.nn import functional
    from torch.utils import _pytree as pytree

    random = torch.Generator().manual_seed(seed)
    found = {
        parameter: torch.zeros_like(parameter) for parameter in module.parameters() if parameter.is_floating_point()
    }
    for parameter in found:
        parameter.requires_grad_(True)
    for feed in feeds:
        surprise = torch.zeros(())
        for answer in pytree.tree_leaves(module(*feed)):
            if not isinstance(answer, torch.Tensor) or answer.grad_fn is None:
                continue
            if answer.dim() == 2 and answer.shape[1] > 1:
                drawn = torch.multinomial(answer.detach().softmax(1), 1, generator=random)[:, 0]
                surprise = surprise + functional.cross_entropy(answer, drawn, reduction="sum")
            else:
                spread = answer.detach().std(correction=0) + 1e-6
                surprise = surprise + (answer * torch.randn(answer.shape, generator=random) / spread).sum()
        if surprise.grad_fn is not None:
            for parameter, gradient in zip(
                found, torch.autograd.grad(surprise, list(found), allow_unused=True), strict=True
            ):
                if gradient is not None:
                    found[parameter] += gradient**2
    for parameter in found:
        parameter.requires_grad_(False)
    told = any(information.any() for information in found.values())
    return found if told else {parameter: torch.ones_like(parameter) for parameter in found}


def _where(module: torch.nn.Module, layers: Sequence[torch.nn.Module], exc: BaseException) -> str:
    names = {layer: name for name, layer in module.named_modules()}
    first = f"layer {names[layers[0]]}: " if layers else ""
    return f"{first}{first_line(exc)}"


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
