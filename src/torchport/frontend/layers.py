"""What is inside a graph: the value of every operator for one feed, in the order in which they are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def beginning(graph: GraphProgram, module: Any, last: str, *, alone: bool = False) -> GraphProgram:
    """A captured graph up to one of its operators, captured anew with the same inputs.

    Args:
        module: `graph.exported.module()`, made once for many beginnings.
        last: name of the operator's node there.
        alone: its value is the only output, and all sizes are those of the examples; else everything that is handed on
            there is an output, its own value the last, and sizes are as free as the graph's.

    Raises:
        CaptureError: that part cannot be captured by itself.
    """
    import torch

    from .ladder import recaptured

    made, known = torch.fx.Graph(), dict[Any, Any]()
    nodes = list(module.graph.nodes)
    at = next(number for number, node in enumerate(nodes) if node.name == last)
    for number, node in enumerate(nodes):
        if number <= at or node.op == "placeholder":
            known[node] = made.node_copy(node, lambda one: known[one])
    left = [nodes[at]] if alone else [node for node in _left(nodes, at) if is_seen(node.meta["val"])]
    made.output(tuple(known[node] for node in left))
    if alone:
        made.eliminate_dead_code()
    return recaptured(graph, torch.fx.GraphModule(module, made), free=not alone)


def _left(nodes: Sequence[torch.fx.Node], at: int) -> list[torch.fx.Node]:
    """What the nodes up to one hand on: the values that later nodes read, or nobody does."""
    first = set(nodes[: at + 1])
    return [
        node
        for node in nodes[: at + 1]
        if node.op == "call_function" and "val" in node.meta and (not node.users or set(node.users) - first)
    ]


def is_seen(value: Any) -> bool:
    """Whether a value can be an output: a tensor of numbers that a signature may hold."""
    import torch

    return isinstance(value, torch.Tensor) and not value.is_complex() and value.dtype != torch.bfloat16


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
