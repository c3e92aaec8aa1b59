"""Quantisation of exported graphs by torchao's PT2E: what to quantise is annotated, torchao inserts, calibrates and
converts.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TorchportError, UnsupportedByTarget, first_line
from ..frontend.binding import argument_names
from ..frontend.ladder import capture_graph
from ..frontend.program import GraphProgram, Program
from ..system.noise import quiet
from ..types import IMPORTS

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

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
            raise UnsupportedByTarget(
                f"{recipe} cannot quantise graph '{graph.name}': one of the quantiser's passes fails on it "
                f"({first_line(exc, kind=False) or 'it expects another graph'})",
                "try another recipe, such as int8_weights, which rounds weights alone",
            ) from exc

    return program.changed(one, IMPORTS)


def opened(graph: GraphProgram, recipe: str) -> GraphModule:
    """A copy of the exported graph's module, to be changed. It checks no guards, which would be captured with what is
    made of it. Weights that are computed from others (spectral norm, orthogonal layers) are tensors of their own in it:
    quantisers look for a tensor.

    Raises:
        UnsupportedByTarget: the graph was not exported.
    """
    import torch
    from torchao.quantization.pt2e.constant_fold import constant_fold

    made: GraphModule = graph.need_exported(recipe).module(check_guards=False)
    if any(_is_computed(node) for node in made.graph.nodes):
        with torch.no_grad():
            constant_fold(made, _is_computed)
    return made


def _is_computed(node: Node) -> bool:
    """Whether a node makes the weight of a product; `constant_fold` asks only of those that no input reaches."""
    products = ("aten.linear", "aten.conv", "aten.mm", "aten.matmul")
    return node.op == "call_function" and any(
        str(user.target).startswith(products) and user.args[1] is node for user in node.users
    )


def x86_quantizer(*, training: bool = False, floats: Collection[str] = ()) -> Any:
    """torchao's quantiser for x86: 8 bits for convolutions and matrix multiplications with what follows them, weights
    per channel.

    Args:
        floats: names of the nodes that it leaves alone.
    """
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    class Sourced(X86InductorQuantizer):  # type: ignore[misc]
        def annotate(self, model: GraphModule) -> GraphModule:
            _name_sources(model, floats)
            made: GraphModule = super().annotate(model)
            return made

    return Sourced().set_global(get_default_x86_inductor_quantization_config(is_qat=training))


def _name_sources(model: GraphModule, floats: Collection[str]) -> None:
    """Note at every node which layer it stands for, but at those that are to stay in float32. torchao's quantiser for
    x86 looks for layers in notes that only strict export leaves, and leaves every convolution of any other graph in
    float32 without a word."""
    from torch import nn, ops

    aten = ops.aten
    layers: dict[Any, tuple[Any, ...]] = {
        nn.Conv1d: (aten.conv1d.default,),
        nn.Conv2d: (aten.conv2d.default,),
        nn.Linear: (aten.linear.default,),
        nn.BatchNorm2d: (aten.batch_norm.default,),
        nn.ReLU: (aten.relu.default, aten.relu_.default),
        nn.ReLU6: (aten.relu6.default, aten.relu6_.default),
        nn.Hardtanh: (aten.hardtanh.default, aten.hardtanh_.default),
        nn.Hardswish: (aten.hardswish.default, aten.hardswish_.default),
        nn.SiLU: (aten.silu.default, aten.silu_.default),
        nn.LeakyReLU: (aten.leaky_relu.default, aten.leaky_relu_.default),
        nn.Tanh: (aten.tanh.default, aten.tanh_.default),
        nn.GELU: (aten.gelu.default,),
        operator.add: (aten.add.Tensor, aten.add_.Tensor),
    }
    by_operator = {operation: layer for layer, operations in layers.items() for operation in operations}
    for node in model.graph.nodes:
        node.meta.pop("source_fn_stack", None)
        if node.users and (layer := by_operator.get(node.target)):
            node.meta["source_fn_stack"] = [
                (node.name, object if node.name in floats else layer)
            ]  # without any it would be guessed


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


def recapture(graph: GraphProgram, module: torch.nn.Module) -> GraphProgram:
    """A changed module captured with the names, dynamic dimensions and bounds of the graph that it was.

    Raises:
        CaptureError: it cannot be captured any more; names the layer.
    """
    signature = graph.signature
    dims = {spec.name: spec.free for spec in signature.inputs}
    examples = {spec.name: np.asarray(graph.examples[spec.name]) for spec in signature.inputs}
    if not set(argument_names(module) or ()) >= set(
        examples
    ):  # of a forward(*tensors), torch.export makes tensors_0, tensors_1
        module = _unnamed(module)
    made = capture_graph(graph.name, module, examples, dims=dims, bounds=signature.dims)
    if made.signature != signature:
        raise UnsupportedByTarget(
            f"graph '{graph.name}' has another signature once it is compressed", f"was {signature}, is {made.signature}"
        )
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


def held(model: GraphModule, node: Node) -> Any:
    """What a node reads out of the model: a parameter or a buffer."""
    return operator.attrgetter(str(node.target))(model)


def weights(model: GraphModule) -> Iterator[tuple[Node, Node, torch.Tensor]]:
    """The float parameters that a graph multiplies or looks up: their node, the first node that uses them, their
    values.
    """
    import torch

    for node in model.graph.nodes:
        if node.op != "get_attr":
            continue
        value = held(model, node)
        users = [user for user in node.users if user.op == "call_function"]
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.dim() >= 2 and users:
            yield node, users[0], value
