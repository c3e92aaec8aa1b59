"""The table of options (`deployment.options`) as parameters of verbs, and back: what was typed and what
`torchport.toml` says become the fields of a Request.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..deployment.options import BY_NAME, OPTIONS, Option
from ..errors import UsageError
from . import config
from .shared import Json, Verbose, verb


def of(known: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell offers for an option that takes these names, of which several may be given with commas between
    them.
    """

    def offered(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in known() if name.startswith(last)]

    return offered


def parameter(name: str) -> Any:
    """The type of a verb's parameter: None where it is not given."""
    option = BY_NAME[name]
    offered: dict[str, Any] = {} if option.known is None else {"autocompletion": of(option.known)}
    if name == "source":
        return Annotated[str | None, typer.Argument(metavar="[SOURCE]", help=option.help)]
    flags = [option.flag, *(["-o"] if name == "output" else ())]
    return Annotated[_typed(option), typer.Option(*flags, help=option.help, show_default=False, **offered)]


def _typed(option: Option) -> Any:
    if option.repeated:
        return list[str] | None
    if option.kinds[0] in (Path, bool):
        return option.kinds[0] | None
    if option.kinds == (int,):
        return int | None
    return float | None if option.kinds == (int, float) else str | None


def taking(
    options: Iterable[Option], own: Mapping[str, tuple[Any, Any]] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A verb whose parameters are these options, named as the fields that they fill, with `as_json` and `verbose`.

    Args:
        own: parameters of the verb's own: name -> its annotation and what it is where it is not given.
    """
    annotations = {option.field: parameter(option.name) for option in options}
    more = own or {}
    given = {
        **dict.fromkeys(annotations),
        **{name: default for name, (_, default) in more.items()},
        "as_json": False,
        "verbose": False,
    }
    annotations |= {**{name: annotation for name, (annotation, _) in more.items()}, "as_json": Json, "verbose": Verbose}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotations[name])
        for name, default in given.items()
    ]

    def made(function: Callable[..., None]) -> Callable[..., None]:
        wrapped = verb(function)
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return wrapped

    return made


def resolve(flags: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed (by field) and `torchport.toml` as keyword arguments of a Request; what nobody gave is left out.

    Raises:
        UsageError: no source or no output was given, or a text is malformed.
    """
    given = {option.name: flags.get(option.field) for option in OPTIONS}
    merged = config.merge({name: value for name, value in given.items() if value not in (None, [], ())}, Path())
    if "source" not in merged:
        raise UsageError(
            "there is no SOURCE", f"give one, as in `torchport deploy net.py:Net ...`, or write it in {config.NAME}"
        )
    if "output" not in merged:
        source = Path(merged["source"])
        if not source.is_file() or source.suffix == ".py":
            raise UsageError("there is no output", "give -o NAME.tport")
        merged["output"] = f"{source.stem}.tport"  # weights by themselves are told apart when they are opened
    return {option.field: option.read(merged[option.name]) for option in OPTIONS if option.name in merged}


def log(*, verbose: bool) -> Path | None:
    """Where what converters and runtimes print goes: to be seen, or to a file of the deploy's own."""
    return Path("/dev/stderr") if verbose else None


DEPLOY = OPTIONS
EXPORT = tuple(option for option in OPTIONS if option.export)
