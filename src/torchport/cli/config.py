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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..deployment.options import OPTIONS, pairs
from ..errors import BadInput, UsageError, did_you_mean

NAME = "torchport.toml"
KINDS = {option.name: option.kinds for option in OPTIONS if option.in_file}
KEYS = tuple(KINDS)
WORDS = {
    bool: "true or false",
    str: "text",
    Path: "a path",
    list: "a list of texts",
    dict: "a table",
    int: "a whole number",
    float: "a number",
}


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
    taken = tuple(str if kind is Path else kind for kind in kinds)
    if not isinstance(value, taken) or (isinstance(value, list) and not all(isinstance(one, str) for one in value)):
        raise UsageError(f"{NAME}: {key} is {value!r}", f"it takes {' or '.join(WORDS[kind] for kind in kinds)}")


def merge(flags: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Option -> what was typed, or else what the file says; of the task's facts, each for itself."""
    table, task = load(folder)
    facts = {key: value for key, value in task.items() if key != "name"}
    stated = {**table, **({"task": task["name"]} if "name" in task else {}), **({"set": facts} if facts else {})}
    merged = {**stated, **flags}
    for option in OPTIONS:
        if option.name in stated and option.name not in flags and Path in option.kinds:
            merged[option.name] = folder / str(stated[option.name])
    if "set" in flags:
        merged["set"] = {**facts, **pairs(flags["set"], "--set")}
    return merged
