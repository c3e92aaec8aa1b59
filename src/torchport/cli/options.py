"""The options that describe a model and how to deploy it: shared by `deploy` and `export`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from ..deployment.request import SEARCH, golden
from ..errors import UsageError
from . import config
from .shared import names, pairs

INPUT = (
    'An input of the model, as in "x:float32[batch,3,height=32..1024/32,width]": a number is fixed, a name is free, '
    '"batch<=8" or "32..1024" '
    'bounds it, "/32" asks for multiples. Without --data it is made up, beside --data it says which axes are free; '
    "repeatable."
)


def of(known: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell offers for an option that takes these names, of which several may be given with commas between
    them.
    """

    def offered(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in known() if name.startswith(last)]

    return offered


def tasks() -> list[str]:
    """Names of the tasks."""
    return _names("tasks")


def _names(package: str, registry: str = "") -> list[str]:
    return list(getattr(import_module(f"torchport.{package}"), registry or package).names())


def _facts() -> list[str]:
    from ..tasks import tasks as known

    return sorted({f"{fact}=" for name in known.names() for fact in known.get(name).defaults})


Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[SOURCE]",
        help="package.module:name, file.py:Name, a .pt2, a TorchScript .pt, or a Hugging Face folder (hf:DIR, or DIR).",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="A .safetensors, .pt, .pth or .ckpt with the weights of the model that SOURCE builds; best.pth#ema takes "
        "one set of those in it."
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(
        help="Names of weights to leave out, by their beginning (aux.) or a pattern ('*.inv_freq'); repeatable."
    ),
]
Arg = Annotated[list[str] | None, typer.Option("--arg", help="key=value for the class or factory; repeatable.")]
Task = Annotated[
    str | None,
    typer.Option(
        autocompletion=of(tasks),
        help="What the model is for; see `torchport tasks`. A Hugging Face folder says it by itself.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        autocompletion=of(_facts),
        help="key=value of a fact of the task; repeatable; `torchport tasks NAME` explains each.",
    ),
]
Data = Annotated[Path | None, typer.Option(help="The task's data: a folder or a file.")]
Input = Annotated[list[str] | None, typer.Option("--input", help=INPUT)]
Targets = Annotated[
    str | None,
    typer.Option(
        autocompletion=of(lambda: [*_names("targets"), "auto"]),
        help="Comma-separated targets, or auto for every one that works here.",
    ),
]
Recipes = Annotated[
    str | None,
    typer.Option(
        autocompletion=of(lambda: [*_names("compress", "recipes"), "auto"]),
        help="Comma-separated recipes or chains of them, as in int8_weights,prune@0.5+distil; auto searches.",
    ),
]
Limit = Annotated[
    float | None, typer.Option(help="Wall-clock limit of one export, and of one verification, in seconds.")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write.")]


def resolve(flags: Mapping[str, Any], task: str | None, settings: Sequence[str] | None) -> dict[str, Any]:
    """Flags and `torchport.toml` as keyword arguments of a deploy Request, but for those that only `deploy` has.

    Raises:
        UsageError: no source or no output was given, or a text is malformed.
    """
    merged, named, facts = config.merge(dict(flags), Path())
    if merged["source"] is None:
        raise UsageError(
            "there is no SOURCE", f"give one, as in `torchport deploy net.py:Net ...`, or write it in {config.NAME}"
        )
    if merged["output"] is None and Path(merged["source"]).is_file() and Path(merged["source"]).suffix != ".py":
        merged["output"] = (
            f"{Path(merged['source']).stem}.tport"  # weights by themselves are told apart when they are opened
        )
    if merged["output"] is None:
        raise UsageError("there is no output", "give -o NAME.tport")
    arguments = merged["arg"] or []
    return {
        "source": merged["source"],
        "output": Path(merged["output"]),
        "task": task or named,
        "weights": merged["weights"] and Path(merged["weights"]),
        "drop": tuple(merged["drop"] or ()),
        "arguments": {k: str(v) for k, v in arguments.items()}
        if isinstance(arguments, dict)
        else pairs(arguments, "--arg"),
        "data": merged["data"] and Path(merged["data"]),
        "inputs": tuple(merged["input"] or ()),
        "settings": {**facts, **pairs(list(settings or ()), "--set")},
        "targets": _list(merged["targets"]),
        "recipes": [SEARCH] if merged["recipes"] == SEARCH else _list(merged["recipes"]),
        "limit_s": 900.0 if merged["limit"] is None else float(merged["limit"]),
        **_only_deploy(merged),
    }


def _only_deploy(merged: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "budget": merged["budget"] or "",
        "profile": merged["for"] or "python",
        "keep": merged["keep"] or "front",
    }
    found |= {
        "prefer": merged["prefer"] or "latency",
        "seed": merged["seed"] or 0,
        "time_s": None if merged["time"] is None else seconds(str(merged["time"])),
    }
    found |= {name: merged[name] and Path(merged[name]) for name in ("calibration", "test")}
    if merged["quick"] is not None:
        found["quick"] = merged["quick"]
    if merged["require_shown"] is not None:
        found["require_shown"] = merged["require_shown"]
    if merged["golden"] is not None:
        found["golden"] = golden(str(merged["golden"]))
    return found


def seconds(text: str) -> float:
    """A length of time such as `90`, `90s`, `20m` or `1.5h`, in seconds.

    Raises:
        UsageError: it is none.
    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in _SECONDS else (text, "s")
    try:
        value = float(number) * _SECONDS[unit]
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise UsageError(f"--time {text}: not a time", "write it as in 90s, 20m or 1.5h")
    return value


_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _list(value: Any) -> list[str] | None:
    return list(value) if isinstance(value, list) else names(value)
