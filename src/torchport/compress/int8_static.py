"""`int8_static`: weights and activations as 8-bit integers, their ranges found on the calibration data.

The nodes to quantise are those that torchao's quantiser for x86 names (convolutions and products with what follows them); ranges, SmoothQuant
for products (Xiao et al. 2023) and the correction of biases (Nagel et al. 2019) are nncf's, on the exported graph, whose channels are equalised
first. How ranges are read from the calibration data is tried: no way is the best for every model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from .base import Recipe, Workshop
from .layers import FEWEST
from .pt2e import weights

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from ..capture.program import Arrays, GraphProgram, Program

MOST_FEEDS = 300
"""Calibration feeds that ranges are found on: nncf's own default."""

CALIBRATORS = ("HISTOGRAM", "MINMAX", "MEAN_MINMAX", "MEAN_QUANTILE")
"""nncf's names of what ranges are: those that round the values' histogram with the least squared error, the extremes of all feeds, the mean of
each feed's extremes, the mean of each feed's outermost percentiles."""

TRIED, JUDGED = 64, 32
"""Feeds that each calibrator is tried with, the first ones, and those that it is judged on, the last ones."""


class Int8Static(Recipe):
    """Per channel for weights, per tensor for activations."""

    name = "int8_static"
    about = "weights and activations as 8-bit integers, ranges found on calibration data: a quarter of the size"
    stage = "program"
    precision = "int8_static"
    modules = ("nncf", "torchao")
    needs_data = True

    def apply(self, program: Program, work: Workshop, strength: float | None) -> Program:
        """The same graphs with quantised products.

        Raises:
            UnsupportedByTarget: a graph was not exported, or cannot be quantised.
            BadInput: there are too few calibration items.
        """
        from .pt2e import quantise

        def one(graph: GraphProgram) -> GraphModule:
            feeds = work.need_feeds(graph.name, self.name)
            return quantised(graph, feeds, self.name, best_calibrator(graph, feeds, self.name, work.tell))

        return quantise(program, self.name, one)


def best_calibrator(graph: GraphProgram, feeds: Sequence[Arrays], recipe: str, tell: Callable[[str], None] = lambda text: None) -> str:
    """The one of `CALIBRATORS` that leaves the answers nearest to those in floats.

    Args:
        feeds: at least one; the first `TRIED` find ranges and the last `JUDGED` judge them.
        recipe: its name, for errors.
        tell: hears which it is.

    Raises:
        UnsupportedByTarget: the graph was not exported.
    """
    import torch

    from .sensitivity import difference
    from .train import tensors

    calls = [tensors(graph, feed) for feed in feeds[-JUDGED:]]
    floats = graph.callable()

    def distance(calibrator: str) -> float:
        made = quantised(graph, feeds[:TRIED], recipe, calibrator)
        return sum(difference(made(*call), answer) for call, answer in zip(calls, wanted, strict=True)) / len(calls)

    with torch.no_grad():
        wanted = [floats(*call) for call in calls]
        found = {calibrator: distance(calibrator) for calibrator in CALIBRATORS}
    best = min(CALIBRATORS, key=found.__getitem__)
    tell(f"{recipe}: ranges of graph '{graph.name}' by {best}; answers are from those in floats: {', '.join(f'{name} {away:.3g}' for name, away in found.items())}")
    return best


def quantised(graph: GraphProgram, feeds: Sequence[Arrays], recipe: str, calibrator: str, *, floats: Collection[str] = (), probed: bool = False) -> GraphModule:
    """The exported graph's module with its products in integers.

    Args:
        feeds: what ranges are found on; the first `MOST_FEEDS` are used.
        recipe: its name, for errors.
        calibrator: of `CALIBRATORS`.
        floats: names of the nodes whose products stay floats.
        probed: weights are rounded at every call, and biases and tables stay as they were, so that each rounding can be taken out again.

    Raises:
        UnsupportedByTarget: the graph was not exported.
    """
    import nncf
    from nncf.experimental.torch.fx import quantize_pt2e
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    from .equalise import equalised
    from .pt2e import opened, x86_quantizer
    from .train import tensors

    shown = [tensors(graph, feed) for feed in feeds[:MOST_FEEDS]]
    exported = equalised(opened(graph, recipe), shown)
    exported.graph.eliminate_dead_code()  # nncf looks for what its own passes take out on the way
    exported.recompile()
    products = any("linear" in str(node.target) or "mm" in str(node.target) for node in exported.graph.nodes)
    made: GraphModule = quantize_pt2e(
        exported,
        x86_quantizer(floats=floats),
        nncf.Dataset(shown),
        subset_size=len(shown),
        fast_bias_correction=None if probed else True,
        smooth_quant=products,
        fold_quantize=not probed,
        activations_range_estimator_params=getattr(RangeEstimatorParametersSet, calibrator),
    )
    if not probed:
        _round_tables(made)
    return made


def _round_tables(model: GraphModule) -> None:
    """Embedding tables, which are looked up and not multiplied, as 8-bit integers with a scale a row; only the rows that are looked up
    become floats again, which runtimes do to the whole table at every call where it is left to them."""
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
            rows, scales = (graph.call_function(aten.index.Tensor, (graph.get_attr(name), [user.args[1]])) for name in names)
            floats = graph.call_function(aten.to.dtype, (rows, torch.float32))
            found = graph.call_function(aten.mul.Tensor, (floats, graph.call_function(aten.unsqueeze.default, (scales, -1))))
        user.replace_all_uses_with(found)
        graph.erase_node(user)
        if not node.users:
            graph.erase_node(node)
            owner, _, name = str(node.target).rpartition(".")
            delattr(model.get_submodule(owner), name)
    graph.eliminate_dead_code()
    model.recompile()
