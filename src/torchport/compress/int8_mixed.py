"""`int8_mixed`: as `int8_static`, but the layers that are most sensitive to it stay in float32.

Each layer is rounded alone while all others are in float32, and those stay in float32 that alter the outputs far more
than the middle layer does:
the partial quantisation of Wu et al. 2020 ("Integer Quantization for Deep Learning Inference", section 5.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UnsupportedByTarget
from .base import RecipeContext
from .int8_static import Int8Static, begun, quantised
from .sensitivity import PROBES, difference, sensitive

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

    from ..frontend.program import GraphProgram, Program


class Int8Mixed(Int8Static):
    """8-bit weights and activations, and floats where a layer proves sensitive."""

    name = "int8_mixed"
    about = "as int8_static, with those layers in float32 that alter the answers most when they are rounded"

    def apply(self, program: Program, work: RecipeContext, strength: float | None) -> Program:
        """The same graphs with most of their matrix multiplications quantised.

        Raises:
            UnsupportedByTarget: a graph was not exported, or cannot be quantised; or no layer stands out.
            BadInput: there are too few calibration items.
        """
        from .pt2e import quantise

        kept: list[str] = []

        def one(graph: GraphProgram) -> torch.nn.Module:
            model, calls, calibrator = begun(graph, work, self.name)
            change = _changes(quantised(model, calls, calibrator, probed=True), calls[:PROBES])
            floats = sensitive(change)
            kept.extend(floats)
            work.tell(
                f"int8_mixed: {len(floats)} of {len(change)} layers of graph '{graph.name}' stay in float32: "
                f"{', '.join(floats) or 'none'}"
            )
            return quantised(model, calls, calibrator, floats=floats)

        made = quantise(program, self.name, one)
        if not kept:
            raise UnsupportedByTarget(
                "int8_mixed: no layer stands out from the others", "use int8_static, which is the same here"
            )
        return made


def _changes(model: GraphModule, calls: Sequence[Sequence[torch.Tensor]]) -> dict[str, float]:
    """How far the outputs are with one layer's inputs and weight rounded and nothing else: layer -> the sum over the
    calls.

    Args:
        model: its weights and activations are rounded at every call.
    """
    import torch

    class Alone(torch.fx.Interpreter):
        """The model in float32, but for what one layer is given."""

        def __init__(self, layer: Node | None = None) -> None:
            super().__init__(model, garbage_collect_values=False)  # what rounds is looked at once more
            self.rounded = set(layer.all_input_nodes) if layer else set()

        def run_node(self, n: Node) -> Any:
            if not _rounds(n):
                return super().run_node(n)
            source = n.args[0]
            assert isinstance(source, torch.fx.Node)
            if n not in self.rounded:
                return self.env[source]
            args, kwargs = self.fetch_args_kwargs_from_env(source)
            integers = self.call_function(source.target, args, kwargs)
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            return self.call_function(n.target, (integers, *args[1:]), kwargs)

    with torch.no_grad():
        wanted = [Alone().run(*call) for call in calls]
        return {
            layer.name: sum(
                difference(Alone(layer).run(*call), answer) for call, answer in zip(calls, wanted, strict=True)
            )
            for layer in _layers(model)
        }


def _rounds(node: Node) -> bool:
    """Whether it makes integers of floats, or floats of them again."""
    return "quantize_per_" in str(node.target)


def _layers(model: GraphModule) -> Iterator[Node]:
    """The nodes that multiply by a weight that is rounded a channel at a time."""
    for node in model.graph.nodes:
        if not _rounds(node) and any("dequantize_per_channel" in str(given.target) for given in node.all_input_nodes):
            yield node
