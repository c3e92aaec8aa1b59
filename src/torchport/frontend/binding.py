"""Named arrays onto forward's arguments, and back: modules that take the inputs positionally and answer plain
containers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import BadInput, CaptureError
from . import structure
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
        """What the module answers to a feed (its own examples by default), without gradients; what it prints is no
        result.
        """
        import torch

        from .modes import plain_attention

        with torch.no_grad(), plain_attention(), contextlib.redirect_stdout(sys.stderr):
            return self.module(*tensors(self.feed if feed is None else feed))


class ProgramInput(NamedTuple):
    """One tensor that a torch.export program takes: its name, and a fake tensor with its dtype and symbolic shape."""

    name: str
    value: torch.Tensor


def tensors(feed: Mapping[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    """The arrays of a feed as tensors, in its order; copies, for forward may write into what it is given."""
    import torch

    return tuple(torch.from_numpy(np.array(array, order="C")) for array in feed.values())


def argument_names(module: torch.nn.Module) -> list[str] | None:
    """Names of forward's arguments in order; None where it only takes `*args` or `**kwargs`."""
    return list(_parameters(module)) or None


def bind(module: torch.nn.Module, examples: Mapping[str, np.ndarray]) -> Call:
    """Order examples as forward's arguments; one array called `""` is the first of them.

    An argument that is a dict, a list, a tuple or a dataclass is given in parts: `batch.x` is key or field `x` of the
    argument `batch`, `feats.0` the first of `feats`. Names without a dot that are all no arguments are the keys of
    forward's only argument that it needs. Where forward cannot take the tensors positionally (these, keyword-only ones,
    or one in the middle left out) the call goes through a module around it, whose only submodule `module` is the
    user's.

    Raises:
        BadInput: forward has no such argument, or needs one that is not there.
    """
    known, collects = _parameters(module), _collects(module)
    by_keyword = collects == "**"
    if not known and not by_keyword:
        return Call(module, {name or f"input_{i}": array for i, (name, array) in enumerate(examples.items())})
    named = {name or next(iter(known), "x"): array for name, array in examples.items()}
    needed = [name for name, required in known.items() if required]
    paths = {name: tuple(name.split(".")) for name in named}
    strange = all(len(path) == 1 and path[0] not in known for path in paths.values())
    if strange and len(needed) == 1 and not collects and structure.may_be_named(module, needed[0], len(named)):
        paths = {name: (needed[0], name) for name in named}
    heads = list(dict.fromkeys(path[0] for path in paths.values()))
    unknown = [head for head in heads if head not in known]
    if unknown and not by_keyword:
        raise BadInput(
            f"there is an input '{unknown[0]}', forward takes {', '.join(known)}",
            f"name the inputs as forward's arguments{_in_parts(module, needed, named)}",
        )
    missing = [name for name in needed if name not in heads]
    if missing:
        raise BadInput(
            f"forward needs '{missing[0]}', there is {', '.join(named)}", "add it to the data, or give it by --input"
        )
    order = [*(name for name in known if name in heads), *unknown]
    feed = {
        name: named[name]
        for head in order
        for name in sorted((n for n in named if paths[n][0] == head), key=lambda n: structure.order(paths[n]))
    }
    if (
        not unknown
        and order == list(known)[: len(order)]
        and not _keyword_only(module) & set(order)
        and all(len(path) == 1 for path in paths.values())
    ):
        return Call(module, feed)
    return Call(around(module, {name: paths[name] for name in feed}), feed)


def _in_parts(module: torch.nn.Module, needed: Sequence[str], named: Mapping[str, Any]) -> str:
    """How to name the parts of an argument that is a list or dict, for the hint of an error."""
    if len(needed) != 1:
        return "; the parts of one that is a dict or list are 'name.key', 'name.0'"
    parts = [str(i) if structure.is_sequence(module, needed[0]) else name for i, name in enumerate(named)]
    return (
        f"; '{needed[0]}' is given in parts where it is a dict or list: "
        f"{', '.join(f'{needed[0]}.{part}' for part in parts)}"
    )


def around(module: torch.nn.Module, paths: Mapping[str, Sequence[str]]) -> torch.nn.Module:
    """A module that takes tensors positionally, and hands them on by name, in the dicts, lists and classes that forward
    takes.

    Args:
        paths: input -> the argument it belongs to, and where in that it stands: `("batch", "x")`.
    """
    import torch

    graph = torch.fx.Graph()
    leaves = {tuple(path): graph.placeholder(re.sub(r"\W", "_", name)) for name, path in paths.items()}
    kinds = structure.kinds(module)
    arguments = {
        head: structure.build(
            graph, {path[1:]: leaf for path, leaf in leaves.items() if path[0] == head}, kinds.get(head)
        )
        for head in dict.fromkeys(path[0] for path in leaves)
    }
    graph.output(graph.call_module("module", kwargs=arguments))
    return _wrapped(module, graph)


def plain(call: Call, answered: Any) -> Call:
    """The call as it is where its module answers tensors in tuples, lists and dicts; else one that answers a dict.

    An output class of somebody's library would have to be imported wherever the saved program is opened: a dict need
    not.

    Raises:
        CaptureError: no tensor is found in the answer.
    """
    from torch.utils import _pytree as pytree

    if not flatten_outputs(answered):
        raise CaptureError(
            f"forward answers a {type(answered).__name__} without tensors in it",
            "return tensors, in tuples, lists or dicts",
        )
    _, spec = pytree.tree_flatten(answered)
    if all(kind in (None, tuple, list, dict) for kind in _node_types(spec)) and not dataclasses.is_dataclass(answered):
        return call
    import torch

    graph = torch.fx.Graph()
    inner = graph.call_module("module", tuple(graph.placeholder(name) for name in call.feed))
    graph.output(graph.call_function(flatten_outputs, (inner,)))
    return Call(_wrapped(call.module, graph), call.feed)


def program_inputs(program: ExportedProgram) -> list[ProgramInput]:
    """The tensors that a program takes from its caller, in order."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    return [
        ProgramInput(name, nodes[name].meta["val"])
        for name in program.graph_signature.user_inputs
        if isinstance(name, str) and name in nodes
    ]


def program_outputs(program: ExportedProgram) -> list[torch.Tensor]:
    """Fake tensors of what a program answers to its caller, in order, with dtypes and symbolic shapes."""
    import torch

    nodes = {node.name: node for node in program.graph.nodes}
    values = [
        nodes[name].meta["val"]
        for name in program.graph_signature.user_outputs
        if isinstance(name, str) and name in nodes
    ]
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
    named = [
        p
        for p in inspect.signature(module.forward).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    return {p.name: p.default is p.empty for p in named}


def _collects(module: torch.nn.Module) -> str:
    """`*` where forward collects positional arguments, `**` where keywords, `***` where both."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        return ""
    kinds = {p.kind for p in inspect.signature(module.forward).parameters.values()}
    return ("*" if inspect.Parameter.VAR_POSITIONAL in kinds else "") + (
        "**" if inspect.Parameter.VAR_KEYWORD in kinds else ""
    )


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
