"""`torchport.toml`: every flag of `deploy` and `export` can stand in it, so that `torchport deploy` alone repeats a build.

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

from ..errors import BadInput, UsageError

NAME = "torchport.toml"
KEYS = ("source", "weights", "arg", "data", "input", "targets", "recipes", "budget", "for", "keep", "golden", "limit", "output")
PATHS = ("weights", "data", "output")


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `[deploy]` and `[task]` tables of the file in a folder; empty where there is none.

    Raises:
        BadInput: the file is not TOML. UsageError: it has a key that no flag has.
    """
    path = folder / NAME
    if not path.is_file():
        return {}, {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInput(f"{NAME}: {exc}", "mend the line, or remove the file") from exc
    unknown = [*(set(found) - {"deploy", "task"}), *(f"deploy.{key}" for key in set(found.get("deploy", {})) - set(KEYS))]
    if unknown:
        raise UsageError(f"{NAME}: unknown key '{sorted(unknown)[0]}'", f"[deploy] takes {', '.join(KEYS)}; [task] takes name and the task's facts")
    return found.get("deploy", {}), found.get("task", {})


def merge(flags: dict[str, Any], folder: Path) -> tuple[dict[str, Any], str | None, dict[str, Any]]:
    """Flags over the file: (merged flags, the task's name or None, the task's facts)."""
    table, task = load(folder)
    merged = {key: flags.get(key) if flags.get(key) not in (None, [], ()) else table.get(key) for key in KEYS}
    for key in PATHS:
        if flags.get(key) is None and merged[key] is not None:
            merged[key] = folder / str(merged[key])
    return merged, task.get("name"), {key: value for key, value in task.items() if key != "name"}
