"""Named arrays onto forward's arguments, and back: modules that take the inputs positionally and answer plain containers."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import BadInput, CaptureError
from .program import Arrays, flatten_outputs

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


@dataclass(frozen=True)
class Call:
    """A module and the examples it takes positionally, in this order."""

    module: torch.nn.Module
    feed: Arrays

    def run(self, feed: Mapping[str, np.ndarray] | None = None) -> Any:
        """What the module answers to a feed (its own examples by default), without gradients; what it prints is no result."""
        import torch

        with torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
            return self.module(*tensors(self.feed if feed is None else feed))


class ProgramInput(NamedTuple):
    """One tensor that a torch.export program takes: its name, and a fake tensor with its dtype and symbolic shape."""

    name: str
    value: torch.Tensor


def tensors(feed: Mapping[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    """The arrays of a feed as tensors, in its order."""
    import torch

    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in feed.values())


def argument_names(module: torch.nn.Module) -> list[str] | None:
    """Names of forward's arguments in order; None where it only takes `*args` or `**kwargs`."""
    return list(_parameters(module)) or None


def bind(module: torch.nn.Module, examples: Mapping[str, np.ndarray]) -> Call:
    """Order examples as forward's arguments; one array called `""` is the first of them.

    Where forward cannot take them positionally (keyword-only, or one in the middle left out) the call goes through a
    module around it, whose only submodule `module` is the user's.

    Raises:
        BadInput: forward has no such argument, or needs one that is not there.
    """
    known = _parameters(module)
    if not known:
        return Call(module, {name or f"input_{i}": array for i, (name, array) in enumerate(examples.items())})
    named = {name or next(iter(known)): array for name, array in examples.items()}
    unknown = sorted(set(named) - set(known))
    if unknown:
        raise BadInput(f"there is an input '{unknown[0]}', forward takes {', '.join(known)}", "name the inputs as forward's arguments")
    missing = [name for name, required in known.items() if required and name not in named]
    if missing:
        raise BadInput(f"forward needs '{missing[0]}', there is {', '.join(named)}", "add it to the data, or give it by --input")
    names = [name for name in known if name in named]
    feed = {name: named[name] for name in names}
    if names == list(known)[: len(names)] and not _keyword_only(module) & set(names):
        return Call(module, feed)
    return Call(around(module, names), feed)


def around(module: torch.nn.Module, names: Sequence[str]) -> torch.nn.Module:
    """A module that takes tensors positionally, in this order, and hands them on by name."""
    import torch

    graph = torch.fx.Graph()
    graph.output(graph.call_module("module", kwargs={name: graph.placeholder(name) for name in names}))
    return _wrapped(module, graph)


def plain(call: Call, answered: Any) -> Call:
    """The call as it is where its module answers tensors in tuples, lists and dicts; else one that answers a dict.

    An output class of somebody's library would have to be imported wherever the saved program is opened: a dict need not.

    Raises:
        CaptureError: no tensor is found in the answer.
    """
    from torch.utils import _pytree as pytree

    if not flatten_outputs(answered):
        raise CaptureError(f"forward answers a {type(answered).__name__} without tensors in it", "return tensors, in tuples, lists or dicts")
    _, spec = pytree.tree_flatten(answered)
    if all(kind in (None, tuple, list, dict) for kind in _node_types(spec)):
        return call
    import torch

    graph = torch.fx.Graph()
    inner = graph.call_module("module", tuple(graph.placeholder(name) for name in call.feed))
    graph.output(graph.call_function(flatten_outputs, (inner,)))
    return Call(_wrapped(call.module, graph), call.feed)


def program_inputs(program: ExportedProgram) -> list[ProgramInput]:
    """The tensors that a program takes from its caller, in order."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    return [ProgramInput(name, nodes[name].meta["val"]) for name in program.graph_signature.user_inputs if isinstance(name, str) and name in nodes]


def program_outputs(program: ExportedProgram) -> list[torch.Tensor]:
    """Fake tensors of what a program answers to its caller, in order, with dtypes and symbolic shapes."""
    import torch

    nodes = {node.name: node for node in program.graph.nodes}
    values = [nodes[name].meta["val"] for name in program.graph_signature.user_outputs if isinstance(name, str) and name in nodes]
    return [value for value in values if isinstance(value, torch.Tensor)]


def positional(program: ExportedProgram) -> torch.nn.Module | None:
    """None where a program takes nothing but tensors, positionally; else a module around it that does.

    Keyword arguments, nested containers and constants (a number, None) were fixed when the program was exported.
    """
    import torch
    from torch.utils import _pytree as pytree

    spec = program.call_spec.in_spec
    names = {one.name for one in program_inputs(program)}
    given = list(program.graph_signature.user_inputs)
    args_spec, kwargs_spec = spec.children()
    if not kwargs_spec.num_leaves and all(child.is_leaf() for child in args_spec.children()) and set(given) == names:
        return None
    graph = torch.fx.Graph()
    leaves = [graph.placeholder(leaf) if leaf in names else leaf for leaf in given]
    args, kwargs = pytree.tree_unflatten(leaves, spec)
    graph.output(graph.call_module("module", tuple(args), kwargs))
    return _wrapped(program.module(), graph)


def _wrapped(module: torch.nn.Module, graph: torch.fx.Graph) -> torch.fx.GraphModule:
    import torch

    wrapped = torch.fx.GraphModule({"module": module}, graph)
    wrapped.training = False  # not .eval(): the module of an exported program refuses it
    return wrapped


def _parameters(module: torch.nn.Module) -> dict[str, bool]:
    """Forward's arguments in order -> whether it needs them."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        return {argument.name: not argument.has_default_value() for argument in _schema(module)}
    named = [p for p in inspect.signature(module.forward).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return {p.name: p.default is p.empty for p in named}


def _keyword_only(module: torch.nn.Module) -> set[str]:
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        return {argument.name for argument in _schema(module) if argument.kwarg_only}
    return {p.name for p in inspect.signature(module.forward).parameters.values() if p.kind is p.KEYWORD_ONLY}


def _schema(module: torch.jit.ScriptModule) -> list[Any]:
    """Forward's declared arguments, without `self`."""
    forward: Any = module.forward
    return list(forward.schema.arguments[1:])


def _node_types(spec: Any) -> list[Any]:
    return [spec.type, *(kind for child in spec.children() for kind in _node_types(child))]
