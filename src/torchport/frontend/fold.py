"""Compute at export what depends on weights alone, for runtimes that lack the operators that make it (needs torch)."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING

import torch
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec, TensorArgument
from torch.fx.node import Node, map_arg

from .strip import scrub

if TYPE_CHECKING:
    from torch.export import ExportedProgram

HALVES = (torch.bfloat16, torch.float16)


FLOATS = (torch.float32, torch.float64, *HALVES)
NARROW = {torch.int8, torch.uint8}
"""What quantised weights are kept in: they stay."""


def folded(program: ExportedProgram, dtypes: Collection[torch.dtype] = HALVES) -> ExportedProgram:
    """The program with constants in place of the operators that make them from weights of some dtypes; itself where
    there are none.

    A table that is kept in bfloat16 inside a float32 model is negated, scaled or indexed once, by PyTorch: ONNX
    Runtime, to name one, has no such operators for bfloat16. A weight that is normalised at every call is so once.
    """
    signature = program.graph_signature
    kept, targets = {**program.state_dict, **program.constants}, _weights(program)
    if not any(kept[target].dtype in dtypes for target in targets.values()):
        return program
    clean = scrub(program)
    values: dict[Node, torch.Tensor] = {
        node: kept[targets[node.name]].detach()
        for node in clean.graph.nodes
        if node.op == "placeholder" and node.name in targets
    }
    weights = set(values)
    for node in clean.graph.nodes:
        if _can_be_computed(node, values, dtypes):
            with torch.no_grad():
                value = node.target(*map_arg(node.args, values.__getitem__), **map_arg(node.kwargs, values.__getitem__))
            if isinstance(value, torch.Tensor):
                values[node] = value.contiguous()
    made = [node for node in values if node not in weights and any(user not in values for user in node.users)]
    specs, constants = list(signature.input_specs), dict(program.constants)
    first = next(
        node
        for node, spec in zip((n for n in clean.graph.nodes if n.op == "placeholder"), specs, strict=True)
        if spec.kind == InputKind.USER_INPUT
    )
    place = next(i for i, spec in enumerate(specs) if spec.kind == InputKind.USER_INPUT)
    for i, node in enumerate(made):
        with clean.graph.inserting_before(first):
            constant = clean.graph.placeholder(f"c_folded_{i}")
        constant.meta["val"] = node.meta["val"]
        constants[f"folded_{i}"] = values[node]
        specs.insert(
            place + i, InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(constant.name), f"folded_{i}", None)
        )
        node.replace_all_uses_with(constant)
    for node in reversed(list(clean.graph.nodes)):
        if node in values and node.op == "call_function" and not node.users:
            clean.graph.erase_node(node)
    clean.graph_module.recompile()
    clean._constants = constants
    clean._graph_signature = ExportGraphSignature(input_specs=specs, output_specs=copy.copy(signature.output_specs))
    return clean


def foldable(program: ExportedProgram) -> bool:
    """Whether an operator makes something from float weights alone."""
    kept, targets = {**program.state_dict, **program.constants}, _weights(program)
    values = {
        node: kept[targets[node.name]]
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in targets
    }
    return any(_can_be_computed(node, values, FLOATS) for node in program.graph.nodes)


def _weights(program: ExportedProgram) -> dict[str, str]:
    """Placeholder -> the name of its tensor, of those that no call changes."""
    signature = program.graph_signature
    kept, changed = {**program.state_dict, **program.constants}, {*signature.buffers_to_mutate.values()}
    return {
        spec.arg.name: str(spec.target)
        for spec in signature.input_specs
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
        and isinstance(kept.get(str(spec.target)), torch.Tensor)
        and spec.target not in changed
    }


def _can_be_computed(node: Node, values: dict[Node, torch.Tensor], dtypes: Collection[torch.dtype]) -> bool:
    """Whether an operator makes one tensor from constants, among them one of some dtypes, the same at every call."""
    target = node.target
    if (
        node.op != "call_function"
        or not isinstance(target, torch._ops.OpOverload)
        or not isinstance(node.meta.get("val"), torch.Tensor)
    ):
        return False
    if target._schema.is_mutable or torch.Tag.nondeterministic_seeded in target.tags or not node.all_input_nodes:
        return False
    given = [values[one].dtype for one in node.all_input_nodes if one in values]
    return len(given) == len(node.all_input_nodes) and not {*given} & NARROW and any(one in dtypes for one in given)
