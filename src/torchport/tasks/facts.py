"""Facts as a type: one struct a task, whose fields say what can be set, in which bounds, and what it means.

From that struct come the check of what a user, a source or a Bundle states (`read`), the table of `torchport tasks` and
the reference (`table`), and the JSON Schema of a manifest's facts (`json_schema`).
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from ..errors import TorchportError, UsageError
from .kinds import allowed, fitted, is_none, parse, words

if TYPE_CHECKING:
    from typing_extensions import TypeVar
else:
    from typing import TypeVar


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What fixes how a task reads its input and presents its answer. A field is written

        top: Annotated[Count, "How many classes are answered, the most likely first.", Mark.AT_PREDICT] = 5

    Its type is what the fact is once it is checked: JSON with `tuple[kind, ...]` for lists, or a `pathlib.Path`, which
    is a file that the Bundle carries. The allowed values are told by the type and are not written into the meaning.
    """


if TYPE_CHECKING:
    F = TypeVar("F", bound=Facts, default=Any)  # a `Task` is one of any facts
else:
    F = TypeVar("F")


class Mark(enum.Enum):
    """What else holds of a fact.

    Attributes:
        AT_PREDICT: it can still be changed when a Bundle is opened; the others are part of its graphs.
        LOWERED: it can then only be made smaller, for the graphs were made for the Bundle's value.
        IN_GRAPHS: one of `AT_PREDICT` that an exported form of a host step has built in.
        FROM_MODEL: its default means what the model states, which only a deploy can ask.
        TOLD: nobody sets it: the model or the data tells it at deploy. A manifest has it where it is not the default.
    """

    AT_PREDICT = enum.auto()
    LOWERED = enum.auto()
    IN_GRAPHS = enum.auto()
    FROM_MODEL = enum.auto()
    TOLD = enum.auto()


class Reads(NamedTuple):
    """How a fact is made of what a user or a source states, before its type is checked: of the name of a file, say.

    A Bundle states the fact itself, and nothing is read for it.
    """

    read: Callable[[Any], Any]


class Fact(NamedTuple):
    """One field of a task's facts; `about` is its `meaning` and its allowed values in words."""

    kind: Any
    default: Any
    meaning: str
    about: str
    marks: frozenset[Mark]
    reads: Callable[[Any], Any] | None


@functools.cache
def table(kind: type[Facts]) -> Mapping[str, Fact]:
    """Every fact of a type, by its name, in the order of its fields."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        one.name: _fact(hints[one.name], {} if one.default is msgspec.NODEFAULT else one.default)
        for one in msgspec.structs.fields(kind)
    }


def _fact(hint: Any, default: Any) -> Fact:
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    meant = "".join(one for one in extras if isinstance(one, str))
    values = allowed(hint)
    return Fact(
        hint,
        default,
        meant,
        f"{meant} {values[0].upper()}{values[1:]}." if meant and values else meant,
        frozenset(one for one in extras if isinstance(one, Mark)),
        next((one.read for one in extras if isinstance(one, Reads)), None),
    )


def settable(kind: type[Facts]) -> dict[str, Fact]:
    """The facts that a user can set."""
    return {name: fact for name, fact in table(kind).items() if Mark.TOLD not in fact.marks}


def marked(kind: type[Facts], mark: Mark) -> frozenset[str]:
    """Names of the facts with a mark."""
    return frozenset(name for name, fact in table(kind).items() if mark in fact.marks)


def read(kind: type[F], stated: Mapping[str, Any], *, files: bool = True) -> F:
    """Facts of a type from what is stated of them, each by itself; the others have their defaults.

    Args:
        stated: values of the type, text as `--set` takes it, or what a fact's `Reads` takes; other names are ignored.
        files: whether a fact may be read from a file that its value names; not of what a Bundle states.

    Raises:
        UsageError: a fact has a value that it cannot have.
    """
    known = table(kind)
    return kind(**{name: _read(name, known[name], value, files) for name, value in stated.items() if name in known})


def changed(facts: F, changes: Mapping[str, Any]) -> F:
    """Facts with some stated anew; raises UsageError as `read`."""
    known = table(type(facts))
    return msgspec.structs.replace(
        facts, **{name: _read(name, known[name], value, True) for name, value in changes.items()}
    )


def record(facts: Facts) -> dict[str, Any]:
    """Facts as a manifest has them, but for Paths: what a user can set, and what was told beyond the defaults."""
    return {
        name: _listed(getattr(facts, name))
        for name, fact in table(type(facts)).items()
        if Mark.TOLD not in fact.marks or getattr(facts, name) != fact.default
    }


def _listed(value: Any) -> Any:
    return [_listed(one) for one in value] if isinstance(value, tuple) else value


def json_schema(kinds: Mapping[str, type[Facts]], schema: int) -> dict[str, Any]:
    """The published JSON Schema of `task` in a manifest of that schema, for tasks by their names."""

    def file(_: type) -> dict[str, Any]:
        name = {"type": "string", "pattern": "^assets/"}
        return {"type": "object", "properties": {"file": name}, "required": ["file"], "additionalProperties": False}

    types, shared = msgspec.json.schema_components(kinds.values(), schema_hook=file)
    for kind in kinds.values():
        for name, fact in table(kind).items():
            shared[kind.__name__]["properties"][name]["description"] = fact.meaning
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:torchport:facts:{schema}",
        "description": "The task of a manifest: by its name, the facts that it has. What is not there has its default.",
        "oneOf": [
            {"type": "object", "properties": {"name": {"const": name}, "facts": one}, "required": ["name", "facts"]}
            for name, one in zip(kinds, types, strict=True)
        ],
        "$defs": shared,
    }


def _read(name: str, fact: Fact, value: Any, files: bool) -> Any:
    try:
        made = fact.reads(value) if files and fact.reads and not is_none(fact.kind, value) else value
    except TorchportError:
        raise
    except Exception as exc:  # it was written for what a user types; from Python a value may be of any kind
        raise _impossible(name, fact, value) from exc
    typed = (
        (made, [made], parse(made), [parse(made)]) if files else (made,) if isinstance(made, str) else (made, [made])
    )
    for reading in typed:
        try:
            return fitted(fact.kind, reading)
        except (ValueError, ArithmeticError, RecursionError):
            continue
    raise _impossible(name, fact, value)


def _impossible(name: str, fact: Fact, value: Any) -> UsageError:
    shown = repr(value)
    return UsageError(
        f"{name} is {shown if len(shown) <= 80 else shown[:77] + '...'}",
        f"it takes {words(fact.kind)}. {fact.meaning}".strip(),
    )
