"""The options of `deploy`, `optimize` and `export`, each once: its flag, the field of a Request that it fills, what
`torchport.toml` takes for it, its help, and how its text is read. The command line, the file, the command that a report
ends with and the reference are made from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import UsageError

SEARCH = "auto"
ALL = "all"
"""What stands for recipes that are to be searched for."""

PREFER = ("latency", "size", "memory")
KEEP = ("front", "chosen", "all")


def pairs(value: Mapping[str, Any] | Sequence[str], flag: str) -> dict[str, Any]:
    """`key=value` texts as a dict; a table stays as it is.

    Raises:
        UsageError: a text is no pair.
    """
    if isinstance(value, Mapping):
        return dict(value)
    found = {}
    for text in value:
        key, equals, rest = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {text}: not key=value", f"write {flag} key=value")
        found[key.strip()] = rest
    return found


def seconds(value: str | float) -> float:
    """A length of time such as `90`, `90s`, `20m` or `1.5h`, in seconds.

    Raises:
        UsageError: it is none.
    """
    text = str(value)
    number, unit = (text[:-1], text[-1]) if text[-1:] in _SECONDS else (text, "s")
    try:
        found = float(number) * _SECONDS[unit]
    except ValueError:
        found = float("nan")
    if not 0 < found < float("inf"):
        raise UsageError(f"--time {text}: not a time", "write it as in 90s, 20m or 1.5h")
    return found


_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def golden(value: str | int) -> int | Path:
    """What `--golden` says: how many items, `none` of them, or a folder with them."""
    text = str(value)
    return 0 if text == "none" else int(text) if text.isdigit() else Path(text)


def _names(value: str | Sequence[str]) -> list[str] | None:
    """Names with commas between them, or a list of names; None stands for `auto`."""
    if not isinstance(value, str):
        return list(value)
    return None if value == "auto" else [part.strip() for part in value.split(",") if part.strip()]


def _recipes(value: str | Sequence[str]) -> list[str] | None:
    return [SEARCH] if value == SEARCH else _names(value)


def _arguments(value: Mapping[str, Any] | Sequence[str]) -> dict[str, str]:
    return {key: str(one) for key, one in pairs(value, "--arg").items()}


def _registered(package: str, registry: str = "") -> list[str]:
    return list(getattr(import_module(f"torchport.{package}"), registry or package).names())


def task_names() -> list[str]:
    """Names of the tasks."""
    return _registered("tasks")


def _facts() -> list[str]:
    from ..tasks import tasks

    return sorted({f"{fact}=" for name in tasks.names() for fact in tasks.get(name).defaults})


def _profiles() -> tuple[str, ...]:
    from ..targets.base import PROFILES

    return (*PROFILES, "any")


@dataclass(frozen=True)
class Option:
    """One thing that can be asked for.

    Attributes:
        name: the flag without its dashes, and the key in `torchport.toml`.
        field: of the Request that it fills.
        kinds: what the file takes for it; Path is text that names a file or a folder.
        help: what it does, in a sentence.
        read: makes the field's value of what the flag or the file says.
        export: whether `export` has it as well.
        repeated: whether the flag is given once a text.
        known: the names that a shell offers.
        in_file: whether it is a key of the file's `[deploy]`.
    """

    name: str
    field: str
    kinds: tuple[type, ...]
    help: str
    read: Callable[[Any], Any] = lambda value: value
    export: bool = False
    repeated: bool = False
    known: Callable[[], Iterable[str]] | None = None
    in_file: bool = True

    @property
    def flag(self) -> str:
        """As it is typed."""
        return f"--{self.name.replace('_', '-')}"


OPTIONS = (
    Option(
        "source", "source", (str,),
        "package.module:name, file.py:Name, a .pt2, a TorchScript .pt, or a Hugging Face folder (hf:DIR, or DIR).",
        export=True,
    ),
    Option(
        "weights", "weights", (Path,),
        "A .safetensors, .pt, .pth or .ckpt with the weights of the model that SOURCE builds; best.pth#ema takes one "
        "set of those in it.",
        read=Path, export=True,
    ),
    Option(
        "drop", "drop", (list,),
        "Names of weights to leave out, by their beginning (aux.) or a pattern ('*.inv_freq'); repeatable.",
        read=tuple, export=True, repeated=True,
    ),
    Option(
        "arg", "arguments", (dict, list), "key=value for the class or factory; repeatable.",
        read=_arguments, export=True, repeated=True,
    ),
    Option(
        "task", "task", (str,),
        "What the model is for; see `torchport tasks`. A Hugging Face folder says it by itself.",
        export=True, known=task_names, in_file=False,
    ),
    Option(
        "set", "settings", (dict,),
        "key=value of a fact of the task; repeatable; `torchport tasks NAME` explains each.",
        read=lambda value: pairs(value, "--set"), export=True, repeated=True, known=_facts, in_file=False,
    ),
    Option("data", "data", (Path,), "The task's data: a folder or a file.", read=Path, export=True),
    Option(
        "input", "inputs", (list,),
        'An input of the model, as in "x:float32[batch,3,height=32..1024/32,width]": a number is fixed, a name is '
        'free, "batch<=8" or "32..1024" bounds it, "/32" asks for multiples. Without --data it is made up, beside '
        "--data it says which axes are free; repeatable.",
        read=tuple, export=True, repeated=True,
    ),
    Option(
        "targets", "targets", (str, list),
        "Comma-separated targets; auto for every one that works here but slow ones that --for does not ask for; "
        "all for these too.",
        read=_names, export=True, known=lambda: [*_registered("targets"), "auto", ALL],
    ),
    Option(
        "recipes", "recipes", (str, list),
        "Comma-separated recipes or chains of them, as in int8_weights,prune@0.5+distil; auto searches.",
        read=_recipes, export=True, known=lambda: [*_registered("compress", "recipes"), SEARCH],
    ),
    Option(
        "budget", "budget", (str,),
        'What must hold, as in "accuracy>=99%,latency<=10ms,size<=8MB,memory<=200MB".',
    ),
    Option(
        "prefer", "prefer", (str,),
        "What decides between candidates that keep the budget: latency, size or memory.", known=lambda: PREFER,
    ),
    Option(
        "calibration", "calibration", (Path,),
        "The calibration split: data that recipes learn from; a part of a large --data where it is not given.",
        read=Path, export=True,
    ),
    Option(
        "test", "test", (Path,),
        "The test split: data that only what was chosen answers, once; a part of a large --data where it is not given.",
        read=Path,
    ),
    Option("seed", "seed", (int,), "The seed of every random choice.", export=True),
    Option(
        "time", "time_s", (str, int, float),
        "Bounds the whole command, as in 20m: what is verified by then is measured and kept, at least one variant.",
        read=seconds,
    ),
    Option(
        "for", "profile", (str,), "Where it will run: python, server, web, android, ios or any.", known=_profiles,
    ),
    Option("keep", "keep", (str,), "Variants to keep: front, chosen or all.", known=lambda: KEEP),
    Option(
        "golden", "golden", (int, str), "Golden vectors to keep: how many, none, or a folder of inputs to use.",
        read=golden,
    ),
    Option(
        "limit", "limit_s", (int, float), "Wall-clock limit of one export, and of one verification, in seconds.",
        read=float, export=True,
    ),
    Option(
        "quick", "quick", (bool,),
        "Time everything for a moment only: sooner done, less sure. TORCHPORT_QUICK=1 stands for it.",
    ),
    Option(
        "require_shown", "require_shown", (bool,),
        "Exit code 4 also where the budget is not shown to be kept; without it, 0 means not refuted.",
    ),
    Option("output", "output", (Path,), "Where to write.", read=Path, export=True),
)  # fmt: skip

BY_NAME = {option.name: option for option in OPTIONS}
