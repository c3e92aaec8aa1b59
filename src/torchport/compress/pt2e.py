"""Quantisation of exported graphs by torchao's PT2E: what to quantise is annotated, torchao inserts, calibrates and converts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..capture.binding import argument_names
from ..capture.ladder import capture_graph
from ..capture.program import Arrays, GraphProgram, Program
from ..errors import TorchportError, UnsupportedByTarget

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

IMPORTS = ("torchao.quantization.pt2e",)
"""A quantised program does not load in a fresh process before these are imported: they define its operators."""

Annotate = Callable[["GraphModule"], None]


def quantise(program: Program, recipe: str, convert: Callable[[GraphProgram], torch.nn.Module]) -> Program:
    """Every weighted graph as `convert` quantises it.

    Args:
        recipe: its name, for errors.
        convert: a captured graph -> its exported module with quantised operators.

    Raises:
        UnsupportedByTarget: a graph cannot be quantised, or the quantised graph cannot be captured.
    """

    def one(graph: GraphProgram) -> GraphProgram:
        try:
            with quiet():
                made = convert(graph)
            return recapture(graph, made)
        except TorchportError:
            raise
        except Exception as exc:  # the quantisers raise whatever their passes raise
            raise UnsupportedByTarget(f"{recipe} cannot quantise graph '{graph.name}': {type(exc).__name__}: {str(exc).splitlines()[0] if str(exc) else ''}", "try another recipe") from exc

    return program.changed(one, IMPORTS)


def observed(graph: GraphProgram, annotate: Annotate) -> torch.nn.Module:
    """The exported graph quantised where `annotate` marks it, its observers fed with the graph's example."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(graph.need_exported("quantisation of the exported graph").module(), quantizer(annotate))
    run(prepared, graph, graph.examples)
    made: torch.nn.Module = convert_pt2e(prepared)
    return made


def x86_quantizer(*, training: bool = False) -> Any:
    """torchao's quantiser for x86: 8 bits for convolutions and products with what follows them, weights per channel."""
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import X86InductorQuantizer, get_default_x86_inductor_quantization_config

    return X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config(is_qat=training))


def quantizer(annotate: Annotate) -> Any:
    """torchao's `Quantizer` around one function."""
    from torchao.quantization.pt2e.quantizer import Quantizer

    class Marked(Quantizer):  # type: ignore[misc]
        def annotate(self, model: GraphModule) -> GraphModule:
            annotate(model)
            return model

        def validate(self, model: GraphModule) -> None:
            return

    return Marked()


def run(module: torch.nn.Module, graph: GraphProgram, feed: Arrays) -> Any:
    """A graph's module on one feed, without gradients."""
    import torch

    with torch.no_grad():
        return module(*(torch.tensor(feed[spec.name]) for spec in graph.signature.inputs))


def recapture(graph: GraphProgram, module: torch.nn.Module) -> GraphProgram:
    """A changed module captured with the names, dynamic dimensions and bounds of the graph that it was.

    Raises:
        CaptureError: it cannot be captured any more; names the layer.
    """
    signature = graph.signature
    dims = {spec.name: {axis: dim for axis, dim in enumerate(spec.shape) if isinstance(dim, str)} for spec in signature.inputs}
    bounds = {dim: (bound.min, bound.max) for dim, bound in signature.dims.items()}
    examples = {spec.name: np.asarray(graph.examples[spec.name]) for spec in signature.inputs}
    if not set(argument_names(module) or ()) >= set(examples):  # of a forward(*tensors), torch.export makes tensors_0, tensors_1
        module = _unnamed(module)
    made = capture_graph(graph.name, module, examples, dims=dims, bounds=bounds)
    if made.signature != signature:
        raise UnsupportedByTarget(f"graph '{graph.name}' has another signature once it is compressed", f"was {signature}, is {made.signature}")
    return made


def _unnamed(module: torch.nn.Module) -> torch.nn.Module:
    """The module with arguments that have no names, in the same order."""
    import torch

    class Unnamed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *tensors: torch.Tensor) -> object:
            return self.module(*tensors)

    return Unnamed()


def weights(model: GraphModule) -> Iterator[tuple[Node, Node, torch.Tensor]]:
    """The float parameters that a graph multiplies or looks up: their node, the first node that uses them, their values."""
    import torch

    for node in model.graph.nodes:
        if node.op != "get_attr":
            continue
        value: Any = model
        for part in str(node.target).split("."):
            value = getattr(value, part, None)
        users = [user for user in node.users if user.op == "call_function"]
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.dim() >= 2 and users:
            yield node, users[0], value


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back torchao's warnings to its own developers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
