"""`int8_static`: weights and activations as 8-bit integers, their ranges found on the calibration data.

The nodes to quantise are those that torchao's quantiser for x86 names (convolutions and matrix multiplications with
what follows them); ranges, SmoothQuant for matrix multiplications (Xiao et al. 2023) and the correction of biases
(Nagel et al. 2019) are nncf's, on the exported graph, whose channels are equalised first. How ranges are read from the
calibration data is
tried: no way is the best for every model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from .base import ProgramRecipe, RecipeContext
from .layers import FEWEST
from .pt2e import weights

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule

    from ..frontend.program import GraphProgram

    Call = tuple[torch.Tensor, ...]

MOST_FEEDS = 300
"""Calibration feeds that ranges are found on: nncf's own default."""

CALIBRATORS = ("HISTOGRAM", "MINMAX", "MEAN_MINMAX", "MEAN_QUANTILE")
"""nncf's names of what ranges are: those that round the values' histogram with the least squared error, the extremes of
all feeds, the mean of each feed's extremes, the mean of each feed's outermost percentiles."""

TRIED, JUDGED = 64, 32
"""Feeds that each calibrator is tried with, the first ones, and those that it is judged on, the last ones."""


class Int8Static(ProgramRecipe):
    """Per channel for weights, per tensor for activations."""

    name = "int8_static"
    about = (
        "static quantisation: weights and activations as 8-bit integers, ranges found on calibration data: a quarter "
        "of the size"
    )
    precision = "int8_static"
    modules = ("nncf", "torchao")
    needs_data = True

    def converted(self, graph: GraphProgram, work: RecipeContext, strength: float) -> torch.nn.Module:
        """The graph with quantised matrix multiplications."""
        return quantised(*begun(graph, work, self.name))


def begun(graph: GraphProgram, work: RecipeContext, recipe: str) -> tuple[GraphModule, list[Call], str]:
    """What `quantised` takes: the exported graph's module with its channels equalised, the calibration calls, and the
    best calibrator for both.

    Raises:
        UnsupportedByTarget: the graph was not exported.
        BadInput: there are too few calibration items.
    """
    from .equalise import equalised
    from .layers import tensors
    from .pt2e import opened

    calls = [tensors(graph, feed) for feed in work.need_feeds(graph.name, recipe)]
    model = equalised(opened(graph, recipe), calls)
    model.graph.eliminate_dead_code()  # nncf looks for what its own passes take out on the way
    model.recompile()
    return (
        model,
        calls,
        best_calibrator(model, calls, lambda text: work.tell(f"{recipe}: ranges of graph '{graph.name}' by {text}")),
    )


def best_calibrator(model: GraphModule, calls: Sequence[Call], tell: Callable[[str], None]) -> str:
    """The one of `CALIBRATORS` that leaves the answers nearest to those in float32.

    Args:
        model: in float32; stays as it is.
        calls: at least one; the first `TRIED` find ranges and the last `JUDGED` judge them.
        tell: hears which it is, and how far each is.
    """
    import torch

    from .sensitivity import difference

    judging = calls[-JUDGED:]

    def distance(calibrator: str) -> float:
        made = quantised(model, calls[:TRIED], calibrator)
        return sum(difference(made(*call), answer) for call, answer in zip(judging, wanted, strict=True)) / len(judging)

    with torch.no_grad():
        wanted = [model(*call) for call in judging]
        found = {calibrator: distance(calibrator) for calibrator in CALIBRATORS}
    best = min(CALIBRATORS, key=found.__getitem__)
    tell(
        f"{best}; distance of the answers from those in float32: "
        f"{', '.join(f'{name} {away:.3g}' for name, away in found.items())}"
    )
    return best


def quantised(
    model: GraphModule, calls: Sequence[Call], calibrator: str, *, floats: Collection[str] = (), probed: bool = False
) -> GraphModule:
    """An exported graph's module with its matrix multiplications in integers.

    Args:
        model: without dead code; stays as it is.
        calls: what ranges are found on; the first `MOST_FEEDS` are used.
        calibrator: of `CALIBRATORS`.
        floats: names of the nodes that stay in float32.
        probed: weights are rounded at every call, and biases and tables stay as they were, so that each rounding can be
        taken out again.
    """
    import nncf
    from nncf.experimental.torch.fx import quantize_pt2e
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    from .pt2e import x86_quantizer

    shown = calls[:MOST_FEEDS]
    matmuls = any("linear" in str(node.target) or "mm" in str(node.target) for node in model.graph.nodes)
    made: GraphModule = quantize_pt2e(
        model,
        x86_quantizer(floats=floats),
        nncf.Dataset(shown),
        subset_size=len(shown),
        fast_bias_correction=None if probed else True,
        smooth_quant=matmuls,
        do_copy=True,
        fold_quantize=not probed,
        activations_range_estimator_params=getattr(RangeEstimatorParametersSet, calibrator),
    )
    if not probed:
        _round_tables(made)
    return made


def _round_tables(model: GraphModule) -> None:
    """Embedding tables, which are looked up and not multiplied, as 8-bit integers with a scale a row; only the rows
    that are looked up become floats again, which runtimes do to the whole table at every call where it is left to them.
    """
    import torch

    aten, graph = torch.ops.aten, model.graph
    for node, user, table in list(weights(model)):
        if user.target is not aten.embedding.default or user.args[0] is not node or table.numel() < FEWEST:
            continue
        scale = (table.detach().abs().amax(1) / 127).clamp(min=2**-24)
        names = [f"{node.name}_{part}" for part in ("integers", "scales")]
        for name, value in zip(names, ((table.detach() / scale[:, None]).round().to(torch.int8), scale), strict=True):
            model.register_buffer(name, value)
        with graph.inserting_before(user):
            rows, scales = (
                graph.call_function(aten.index.Tensor, (graph.get_attr(name), [user.args[1]])) for name in names
            )
            floats = graph.call_function(aten.to.dtype, (rows, torch.float32))
            found = graph.call_function(
                aten.mul.Tensor, (floats, graph.call_function(aten.unsqueeze.default, (scales, -1)))
            )
        user.replace_all_uses_with(found)
        graph.erase_node(user)
        if not node.users:
            graph.erase_node(node)
            owner, _, name = str(node.target).rpartition(".")
            delattr(model.get_submodule(owner), name)
    graph.eliminate_dead_code()
    model.recompile()
