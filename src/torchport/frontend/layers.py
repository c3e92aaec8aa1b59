"""What is inside a graph: the value of every operator for one feed, in the order in which they are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from .program import GraphProgram


@dataclass(frozen=True)
class Layer:
    """One value that an operator made.

    Attributes:
        name: of the value. An exporter that keeps the captured names makes the layers of two formats comparable by it.
        op: the operator, in the words of its format.
        inputs: names of the values that it read, weights left out.
        weights: names of the weights that it read.
        value: what it made.
        module: path of the module that the operator stands in, where it is known.
        place: `file.py:line in function: source line`, where it is known.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    value: np.ndarray
    weights: tuple[str, ...] = ()
    module: str = ""
    place: str = ""


def layers_of(program: ExportedProgram, feed: Mapping[str, np.ndarray]) -> list[Layer]:
    """Run a captured program operator by operator.

    Args:
        feed: one array for each input of the program, in its order.

    Returns:
        A layer for each operator that makes one tensor, with the module and the line of source that it comes from.
    """
    import torch

    found: list[Layer] = []

    class Walk(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            made = super().run_node(n)
            if n.op == "call_function" and isinstance(made, torch.Tensor):
                found.append(_layer(n, made))
            return made

    with torch.inference_mode():
        Walk(program.module(check_guards=False)).run(*(torch.tensor(array) for array in feed.values()))
    return found


def cut(program: ExportedProgram, layer: str, feed: Mapping[str, np.ndarray]) -> GraphProgram:
    """The program up to one of its operators, whose value is its only output, captured anew at the feed's sizes.

    Raises:
        CaptureError: that part cannot be captured by itself.
    """
    import torch

    from .ladder import capture_graph

    module: Any = program.module(check_guards=False)
    graph = module.graph
    node = next(one for one in graph.nodes if one.name == layer)
    output = next(one for one in graph.nodes if one.op == "output")
    output.args = (node,)
    graph.set_codegen(torch.fx.graph.CodeGen())  # the answer has another structure now
    for one in reversed(list(graph.nodes)):
        if one.op == "call_function" and not one.users and one is not node:
            graph.erase_node(one)
    module.recompile()

    class Part(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = torch.fx.GraphModule(module, graph)

        def forward(self, *given: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.part(*given)
            return made

    return capture_graph("model", Part().eval(), dict(feed), dims={}, examined=False)


def _layer(node: torch.fx.Node, made: torch.Tensor) -> Layer:
    import torch

    from .blame import line_of_trace

    value = made.detach()
    if value.dtype == torch.bfloat16:  # numpy has none
        value = value.float()
    stack = node.meta.get("nn_module_stack") or {}
    place = line_of_trace(node.meta.get("stack_trace") or "")
    return Layer(
        name=node.name,
        op=str(node.target),
        inputs=tuple(one.name for one in node.all_input_nodes if one.op != "get_attr"),
        value=value.numpy().copy(),
        weights=tuple(str(one.target) for one in node.all_input_nodes if one.op == "get_attr"),
        module=next((path for path, _ in reversed(stack.values()) if path), ""),
        place="" if place is None else str(place),
    )
