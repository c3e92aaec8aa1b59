"""Program: what was captured, one GraphProgram a graph (build half)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import UnsupportedByTarget
from ..types import Signature

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

Arrays = dict[str, np.ndarray]
Converted = TypeVar("Converted")


@dataclass(frozen=True)
class GraphProgram:
    """One captured graph.

    Attributes:
        name: `model`, `preprocess`, ...
        signature: names, dtypes and shapes; forward takes the inputs positionally, in this order.
        exported: the torch.export program with the signature's dynamic dimensions, or None where only `module` could be
        had. module: the eager or scripted module in eval mode, or None when the source was a `.pt2`.
        examples: one real feed, with the batch the graph was captured at.
        rung: which rung of the ladder held: `strict`, `non-strict`, `trace`, `script`.
        said: what each rung that failed said, for the error message and the report.
    """

    name: str
    signature: Signature
    examples: Arrays
    exported: ExportedProgram | None = None
    module: torch.nn.Module | None = None
    rung: str = "strict"
    said: Mapping[str, str] = field(default_factory=dict)

    def args(self) -> tuple[torch.Tensor, ...]:
        """The example feed as forward's positional arguments."""
        import torch

        return tuple(torch.tensor(self.examples[spec.name]) for spec in self.signature.inputs)

    def callable(self) -> torch.nn.Module:
        """A module that answers like the source: the eager one, else the exported program's."""
        if self.module is not None:
            return self.module
        assert self.exported is not None, "a captured graph has a module or an exported program"
        return self.exported.module(
            check_guards=False
        )  # the signature says what it takes; guards shut out single sizes in between

    def operators(self) -> set[str]:
        """The operators of the exported program, such as `aten.lstm.input`; none where there is only TorchScript."""
        return (
            {str(node.target) for node in self.exported.graph.nodes if node.op == "call_function"}
            if self.exported is not None
            else set()
        )

    def lowered_by(self, export: Callable[..., Converted], *more: Any) -> Converted:
        """`export(self, *more)`, with torch as converters need it (see `modes`)."""
        from .modes import exporting

        with exporting():
            return export(self, *more)

    def need_exported(self, target: str) -> ExportedProgram:
        """The exported program, or a clear refusal in the name of a target that cannot do without.

        Raises:
            UnsupportedByTarget: capture only reached TorchScript.
        """
        if self.exported is None:
            from .words import reasons

            why = reasons(self.said) or "the source is TorchScript"
            raise UnsupportedByTarget(
                f"{target} needs torch.export, which did not capture graph '{self.name}' ({why})",
                "use the onnx or torchscript target, or fix the named line",
            )
        return self.exported


@dataclass(frozen=True)
class Program:
    """What was captured: graphs in the order they run, and where they came from.

    Attributes:
        graphs: graph name -> GraphProgram; `model` is the one with the weights.
        imports: modules that must be imported before an artefact of this program loads.
        source: where it came from, JSON-able, with content hashes and no absolute paths.
        recipe: the recipe that made it; `fp32` as captured.
        weighted: names of the graphs that carry the source's weights, which recipes act on; the others are the task's
        own. stateful: names of the graphs that are handed their own outputs of the call before.
        optional: names of the graphs that the host can answer for, so that a target may decline them.
        precisions: graph -> its precision, where that is not the recipe's.
    """

    graphs: Mapping[str, GraphProgram]
    imports: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = "fp32"
    weighted: tuple[str, ...] = ("model",)
    stateful: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    precisions: Mapping[str, str] = field(default_factory=dict)

    def changed(self, change: Callable[[GraphProgram], GraphProgram], imports: Iterable[str] = ()) -> Program:
        """A Program whose weighted graphs `change` made anew; `imports` join those that its artefacts need."""
        graphs = {name: change(graph) if name in self.weighted else graph for name, graph in self.graphs.items()}
        return replace(self, graphs=graphs, imports=tuple(dict.fromkeys((*self.imports, *imports))))


def answering_tuple(graph: GraphProgram, module: torch.nn.Module) -> torch.nn.Module:
    """A module that answers like one that was captured, its outputs a tuple in the signature's order, for converters
    that take no other structure.
    """
    import torch

    class Answering(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module  # a part called `graph` breaks the converter of LiteRT

        def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
            made = flatten_outputs(self.inner(*given))
            return tuple(made[spec.name] for spec in graph.signature.outputs)

    return Answering()


def flatten_outputs(value: Any) -> dict[str, torch.Tensor]:
    """Name the tensors of whatever forward returned: dict keys or a dataclass's fields, else `output_0`, `output_1`,
    ...; nested keys join by `.`.
    """
    import torch
    from torch.utils import _pytree as pytree

    if dataclasses.is_dataclass(value) and not isinstance(value, type | dict):
        value = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    leaves = [(path, leaf) for path, leaf in pytree.tree_flatten_with_path(value)[0] if isinstance(leaf, torch.Tensor)]
    named: dict[str, torch.Tensor] = {}
    for i, (path, leaf) in enumerate(leaves):
        keys = [str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path]
        by_key = bool(path) and not all(isinstance(k, pytree.SequenceKey) for k in path)
        named[".".join(keys) if by_key else f"output_{i}"] = leaf
    return named
