"""Tensors in dicts, lists, tuples and dataclasses: how forward's arguments are put together from inputs with dotted
names.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Path = tuple[str, ...]


def kinds(module: torch.nn.Module) -> dict[str, Any]:
    """Forward's arguments -> the classes they are annotated with, as far as they can be resolved."""
    forward = getattr(module, "forward", None)
    try:
        return {name: _without_none(kind) for name, kind in typing.get_type_hints(forward).items()} if forward else {}
    except Exception:  # an annotation may be any expression
        try:
            return {name: p.annotation for name, p in inspect.signature(forward).parameters.items()} if forward else {}
        except (TypeError, ValueError):
            return {}


def is_sequence(module: torch.nn.Module, argument: str) -> bool:
    """Whether an argument is annotated as a list or tuple."""
    kind = kinds(module).get(argument)
    return (typing.get_origin(kind) or kind) in (list, tuple, Sequence)


def may_be_named(module: torch.nn.Module, argument: str, count: int) -> bool:
    """Whether an argument can be what that many tensors with names of their own make up: a dict or a dataclass.

    Where nothing is annotated, one strange name is a slip, and several are the keys of a dict.
    """
    kind = kinds(module).get(argument, Any)
    if kind in (Any, inspect.Parameter.empty):
        return count > 1
    origin = typing.get_origin(kind) or kind
    return isinstance(origin, type) and (issubclass(origin, Mapping) or _is_made(origin))


def _is_made(kind: Any) -> bool:
    """Whether a class is built from named parts: a dataclass or a named tuple."""
    return isinstance(kind, type) and (
        dataclasses.is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


def order(path: Sequence[str]) -> tuple[int, ...]:
    """A sort key that puts numbered parts in their order and leaves named ones in theirs."""
    return tuple(int(part) if part.isdecimal() else 0 for part in path[1:])


def build(graph: torch.fx.Graph, leaves: Mapping[Path, torch.fx.Node], kind: Any) -> Any:
    """What forward takes for one argument, from tensors by their paths below it.

    Numbers as parts make a list (a tuple where it is annotated so), names make a dict, or the dataclass or named tuple
    of the annotation.
    """
    if () in leaves:
        return leaves[()]
    parts = list(dict.fromkeys(path[0] for path in leaves))
    below = {part: {path[1:]: leaf for path, leaf in leaves.items() if path[0] == part} for part in parts}
    if all(part.isdecimal() for part in parts):
        inner = (typing.get_args(kind) or (None,))[0]
        built = [build(graph, below[part], inner) for part in sorted(parts, key=int)]
        return tuple(built) if (typing.get_origin(kind) or kind) is tuple else built
    made = _is_made(kind)
    inner_kinds = _fields(kind) if made else {}
    named = {part: build(graph, below[part], inner_kinds.get(part)) for part in parts}
    return graph.call_function(kind, kwargs=named) if made else named


def _fields(kind: Any) -> dict[str, Any]:
    try:
        return {name: _without_none(one) for name, one in typing.get_type_hints(kind).items()}
    except Exception:  # as above
        return {}


def _without_none(kind: Any) -> Any:
    """`Batch` of `Batch | None`."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [one for one in typing.get_args(kind) if one is not type(None)]
        return rest[0] if len(rest) == 1 else None
    return kind
