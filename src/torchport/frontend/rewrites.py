"""Captured programs written otherwise, for a target that fails on them as they are (needs torch).

A rewrite is tried only where the plain road to a target fails or answers wrongly; its name stands in the artefact's
notes, and what comes of it is held against the model like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch._ops import HigherOrderOperator
from torch.fx import traceback

from ..errors import UnsupportedByTarget
from . import fold, pairs
from .ladder import recaptured
from .modes import exporting
from .simpler import OWN, SIMPLER, is_written

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from .program import GraphProgram

aten = torch.ops.aten


@dataclass(frozen=True)
class Rewrite:
    """One way to write a program otherwise.

    Attributes:
        applies: whether a program has what it rewrites.
        write: the graph of a program written otherwise, with the same inputs and outputs.
    """

    applies: Callable[[ExportedProgram], bool]
    write: Callable[[GraphProgram, ExportedProgram], GraphProgram]


def applying(graph: GraphProgram) -> list[str]:
    """The names of the rewrites that a graph has something for."""
    program = graph.exported
    return [] if program is None else [name for name, one in REWRITES.items() if one.applies(program)]


def rewritten(graph: GraphProgram, *, branches: bool = True) -> tuple[GraphProgram, list[str]]:
    """A graph with every rewrite that applies, and their names; none where it has nothing that they rewrite.

    Args:
        branches: keep them; else both are computed and one is chosen.

    Raises:
        UnsupportedByTarget: it holds a complex operator that no rule knows.
        CaptureError: what was written cannot be captured.
    """
    found = applying(graph)
    names = [name for name in found if name != (BOTH if branches else CORE)]
    for name in names:
        graph = REWRITES[name].write(graph, graph.need_exported(name))
    return graph, names


def writings(graph: GraphProgram) -> Iterator[tuple[GraphProgram, list[str]]]:
    """The ways to write a graph otherwise, each tried where that before it fails.

    Raises:
        TorchportError: see `rewritten`.
    """
    yield rewritten(graph)
    if BOTH in applying(graph):
        yield rewritten(graph, branches=False)


def _in_simpler(graph: GraphProgram, program: ExportedProgram) -> GraphProgram:
    from torch._decomp import decomposition_table

    with exporting():
        written = {one: decomposition_table.get(one, one.decompose) for one in SIMPLER}
        return _of_program(graph, program.run_decompositions({**written, **OWN}))


def _of_program(graph: GraphProgram, program: ExportedProgram) -> GraphProgram:
    return replace(graph, exported=program, module=program.module(check_guards=False))


def _written(graph: GraphProgram, writer: torch.fx.Transformer) -> GraphProgram:
    with traceback.preserve_node_meta():
        module = writer.transform()
    return replace(graph, exported=recaptured(graph, module).exported, module=module)


class _Writer(torch.fx.Transformer):
    """Runs through a program and writes it anew; `node` is the one that is being written."""

    def run_node(self, n: torch.fx.Node) -> Any:
        self.node = n
        return super().run_node(n)


def _branches_in_core(graph: GraphProgram, program: ExportedProgram) -> GraphProgram:
    """All in ATen's core operators: what a converter writes out in a program it may leave as it is in a branch."""
    with exporting():
        return _of_program(graph, program.run_decompositions())


class _Both(_Writer):
    """Computes both branches, and chooses."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is not torch.ops.higher_order.cond:
            return super().call_function(target, args, kwargs)
        chosen, *_, given = args
        if isinstance(self.node.args[0].meta["val"], torch.SymBool):  # type: ignore[union-attr]
            chosen = aten.scalar_tensor.default(chosen, dtype=torch.bool)
        taken, other = (
            torch.fx.Interpreter(self.fetch_attr(branch.target)).run(*given)  # type: ignore[union-attr, arg-type]
            for branch in self.node.args[1:3]
        )
        return tuple(aten.where.self(chosen, a, b) for a, b in zip(taken, other, strict=True))


def _both_branches(graph: GraphProgram, program: ExportedProgram) -> GraphProgram:
    return _written(graph, _Both(program.module(check_guards=False)))


def _weights_computed(graph: GraphProgram, program: ExportedProgram) -> GraphProgram:
    return _of_program(graph, fold.folded(program, fold.FLOATS))


def _takes_size(node: torch.fx.Node) -> bool:
    """Whether an operator takes a free size as a number."""
    return (
        isinstance(node.target, torch._ops.OpOverload)
        and node.target._overloadname == "Scalar"
        and "Tensor" in node.target.overloadpacket.overloads()
        and any(isinstance(one, torch.fx.Node) and _is_size(one) for one in node.args)
    )


def _is_size(node: torch.fx.Node) -> bool:
    return isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat)


def _sizes_as_tensors(graph: GraphProgram, program: ExportedProgram) -> GraphProgram:
    return _written(graph, _Sized(program.module(check_guards=False)))


def _in_pairs(graph: GraphProgram, program: ExportedProgram) -> GraphProgram:
    # operators in place become plain ones first
    module: Any = program.run_decompositions({}).module(check_guards=False)
    return _written(graph, _Paired(module))


class _Sized(_Writer):
    """Writes a free size that an operator takes as a number as a tensor."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if not _takes_size(self.node):
            return super().call_function(target, args, kwargs)
        dtype = self.node.args[0].meta["val"].dtype  # type: ignore[union-attr]
        given = [
            aten.scalar_tensor.default(value, dtype=dtype)
            if isinstance(one, torch.fx.Node) and _is_size(one)
            else value
            for value, one in zip(args, self.node.args, strict=True)
        ]
        return target.overloadpacket.Tensor(*given, **kwargs)


def _is_complex(node: torch.fx.Node) -> bool:
    value = node.meta.get("val")
    return node.target in pairs.TRANSFORMS or (isinstance(value, torch.Tensor) and value.is_complex())


class _Paired(_Writer):
    """Holds complex values as Pairs of what stands for their parts."""

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = self.fetch_attr(target)
        if not (isinstance(value, torch.Tensor) and value.is_complex()):
            return super().get_attr(target, args, kwargs)
        names = [f"_{str(target).replace('.', '_')}_{part}" for part in ("re", "im")]
        for name, part in zip(names, (value.real, value.imag), strict=True):
            self.module.register_buffer(name, part.detach().contiguous().clone())
        return pairs.Pair(*(super(_Paired, self).get_attr(name, (), {}) for name in names))

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        args = tuple(pairs.Pair(one.real, one.imag) if isinstance(one, complex) else one for one in args)
        of_pair = any(isinstance(value, pairs.Pair) for value in _flat((*args, *kwargs.values())))
        if target in pairs.TRANSFORMS:
            first = self.node.all_input_nodes[0].meta["val"]
            made = pairs.TRANSFORMS[target](*args, **kwargs, shape=first.shape)
        elif of_pair:
            made = pairs.RULES[target](*args, **kwargs) if target in pairs.RULES else NotImplemented
        elif _is_complex(self.node) and target in pairs.MAKERS:
            made = pairs.MAKERS[target](*args, **kwargs)
        else:
            return super().call_function(target, args, kwargs)
        if made is NotImplemented:
            raise UnsupportedByTarget(
                f"{target} of complex numbers cannot be written in real ones",
                "write the model in real numbers there, or use another target",
            )
        return made


def _flat(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found += _flat(value) if isinstance(value, list | tuple) and not isinstance(value, pairs.Pair) else [value]
    return found


def _some(of: Callable[[torch.fx.Node], bool]) -> Callable[[ExportedProgram], bool]:
    return lambda program: any(map(of, program.graph.nodes))


CORE, BOTH = "branches in core operators", "both branches computed and one chosen"

REWRITES: Mapping[str, Rewrite] = {
    "complex numbers as pairs": Rewrite(_some(_is_complex), _in_pairs),
    "free sizes as tensors": Rewrite(_some(_takes_size), _sizes_as_tensors),
    BOTH: Rewrite(_some(lambda node: node.target is torch.ops.higher_order.cond), _both_branches),
    CORE: Rewrite(_some(lambda node: isinstance(node.target, HigherOrderOperator)), _branches_in_core),
    "operators in simpler ones": Rewrite(_some(is_written), _in_simpler),
    "weights computed beforehand": Rewrite(fold.foldable, _weights_computed),
}
