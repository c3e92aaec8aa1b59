"""`torchport.toml`: every flag of `deploy` and `export` can stand in it, so that `torchport deploy` alone repeats a
build.

    [deploy]
    source = "net.py:Net"
    weights = "net.safetensors"
    data = "photos"
    output = "net.tport"

    [task]
    name = "image-classification"
    mean = [127, 127, 127]

Flags win over the file. Paths are relative to the file.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ..errors import BadInput, UsageError, did_you_mean

NAME = "torchport.toml"
KINDS: dict[str, tuple[type, ...]] = {
    "source": (str,),
    "weights": (str,),
    "drop": (list,),
    "arg": (dict, list),
    "data": (str,),
    "input": (list,),
    "targets": (str, list),
    "recipes": (str, list),
    "budget": (str,),
    "prefer": (str,),
    "calibration": (str,),
    "test": (str,),
    "seed": (int,),
    "time": (str, int, float),
    "quick": (bool,),
    "require_shown": (bool,),
    "for": (str,),
    "keep": (str,),
    "golden": (int, str),
    "limit": (int, float),
    "output": (str,),
}
KEYS = tuple(KINDS)
WORDS = {
    bool: "true or false",
    str: "text",
    list: "a list of texts",
    dict: "a table",
    int: "a whole number",
    float: "a number",
}
PATHS = ("weights", "data", "calibration", "test", "output")


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `[deploy]` and `[task]` tables of the file in a folder; empty where there is none.

    Raises:
        BadInput: the file is not TOML. UsageError: it has a key that no flag has, or a value of another kind.
    """
    path = folder / NAME
    if not path.is_file():
        return {}, {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInput(f"{NAME}: {exc}", "mend the line, or remove the file") from exc
    table, task = found.get("deploy", {}), found.get("task", {})
    for name, value in (("deploy", table), ("task", task)):
        _require(name, value, (dict,))
    for unknown in sorted(set(found) - {"deploy", "task"}):
        raise UsageError(f"{NAME}: unknown table '{unknown}'", did_you_mean(unknown, ("deploy", "task")))
    for unknown in sorted(set(table) - set(KEYS)):
        raise UsageError(f"{NAME}: unknown key 'deploy.{unknown}'", did_you_mean(unknown, KEYS))
    for key, value in table.items():
        _require(f"deploy.{key}", value, KINDS[key])
    _require("task.name", task.get("name", ""), (str,))
    return table, task


def _require(key: str, value: Any, kinds: tuple[type, ...]) -> None:
    if not isinstance(value, kinds) or (isinstance(value, list) and not all(isinstance(one, str) for one in value)):
        raise UsageError(f"{NAME}: {key} is {value!r}", f"it takes {' or '.join(WORDS[kind] for kind in kinds)}")


def merge(flags: dict[str, Any], folder: Path) -> tuple[dict[str, Any], str | None, dict[str, Any]]:
    """Flags over the file: (merged flags, the task's name or None, the task's facts)."""
    table, task = load(folder)
    merged = {key: flags.get(key) if flags.get(key) not in (None, [], ()) else table.get(key) for key in KEYS}
    for key in PATHS:
        if flags.get(key) is None and merged[key] is not None:
            merged[key] = folder / str(merged[key])
    return merged, task.get("name"), {key: value for key, value in task.items() if key != "name"}
