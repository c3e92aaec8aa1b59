"""Captured programs written otherwise, for a target that fails on them as they are (needs torch).

A rewrite is tried only where the plain road to a target fails or answers wrongly; its name stands in the artefact's
notes, and what comes of it is held against the model like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch._ops import HigherOrderOperator
from torch.fx import traceback

from ..errors import UnsupportedByTarget
from . import pairs
from .ladder import recaptured
from .modes import exporting

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from .program import GraphProgram

aten = torch.ops.aten


@dataclass(frozen=True)
class Rewrite:
    """One way to write a program otherwise.

    Attributes:
        applies: whether a node of the program is what it rewrites.
        write: the graph of a program written otherwise, with the same inputs and outputs.
    """

    applies: Callable[[torch.fx.Node], bool]
    write: Callable[[GraphProgram, ExportedProgram], GraphProgram]


def applying(graph: GraphProgram) -> list[str]:
    """The names of the rewrites that a graph has something for."""
    nodes = [] if graph.exported is None else list(graph.exported.graph.nodes)
    return [name for name, one in REWRITES.items() if any(map(one.applies, nodes))]


def rewritten(graph: GraphProgram) -> tuple[GraphProgram, list[str]]:
    """A graph with every rewrite that applies, and their names; none where it has nothing that they rewrite.

    Raises:
        UnsupportedByTarget: it holds a complex operator that no rule knows.
        CaptureError: what was written cannot be captured.
    """
    names = applying(graph)
    for name in names:
        graph = REWRITES[name].write(graph, graph.need_exported(name))
    return graph, names


SIMPLER = (
    aten.grid_sampler.default,
    aten.grid_sampler_2d.default,
    aten.im2col.default,
    aten.col2im.default,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.channel_shuffle.default,
    aten.affine_grid_generator.default,
    aten.upsample_bicubic2d.vec,
    aten.unfold.default,
    aten.cumprod.default,
    aten.tril.default,
    aten.triu.default,
    aten.masked_scatter.default,
    aten.index_add.default,
    aten.roll.default,
    aten.renorm.default,
    aten.logaddexp.default,
    aten.nan_to_num.default,
    aten.hardswish.default,
    aten.mish.default,
    aten.lerp.Tensor,
    aten.lerp.Scalar,
)
"""Operators that targets lack or get wrong here and there, and that torch itself can write in simpler ones."""


def _in_simpler(graph: GraphProgram, program: ExportedProgram) -> GraphProgram:
    from torch._decomp import decomposition_table

    with exporting():
        written = {one: decomposition_table.get(one, one.decompose) for one in SIMPLER}
        return replace(graph, exported=program.run_decompositions(written))


def _branches_in_core(graph: GraphProgram, program: ExportedProgram) -> GraphProgram:
    """All in ATen's core operators: what a converter writes out in a program it may leave as it is in a branch."""
    with exporting():
        return replace(graph, exported=program.run_decompositions())


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


def _written(graph: GraphProgram, writer: torch.fx.Transformer) -> GraphProgram:
    with traceback.preserve_node_meta():
        module = writer.transform()
    return replace(graph, exported=recaptured(graph, module).exported, module=module)


class _Writer(torch.fx.Transformer):
    """Runs through a program and writes it anew; `node` is the one that is being written."""

    def run_node(self, n: torch.fx.Node) -> Any:
        self.node = n
        return super().run_node(n)


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


REWRITES: Mapping[str, Rewrite] = {
    "complex numbers as pairs": Rewrite(_is_complex, _in_pairs),
    "free sizes as tensors": Rewrite(_takes_size, _sizes_as_tensors),
    "branches in core operators": Rewrite(lambda node: isinstance(node.target, HigherOrderOperator), _branches_in_core),
    "operators in simpler ones": Rewrite(lambda node: node.target in SIMPLER, _in_simpler),
}
