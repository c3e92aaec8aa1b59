"""Facts that are files: Paths while they are used, names in a manifest, carried by a Bundle under `assets/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .facts import Facts, record

FOLDER = "assets"
_KEY = "file"


def detach(facts: Facts) -> tuple[dict[str, Any], dict[str, Path]]:
    """Facts as JSON has them, and where the files they name lie.

    Returns:
        The facts with `{"file": "assets/<fact><suffix>"}` for every Path, and that name -> the Path.
    """
    known = record(facts)
    names = {
        key: f"{FOLDER}/{key}{''.join(value.suffixes[-1:])}" for key, value in known.items() if isinstance(value, Path)
    }
    return {key: {_KEY: names[key]} if key in names else value for key, value in known.items()}, {
        name: known[key] for key, name in names.items()
    }


def attach(facts: Mapping[str, Any], find: Callable[[str], Path]) -> dict[str, Any]:
    """The facts of a manifest with every file's name replaced by its Path; `find` gives the Path of a name."""
    return {key: find(value[_KEY]) if is_file(value) else value for key, value in facts.items()}


def is_file(value: Any) -> bool:
    """Whether a fact of a manifest names a file."""
    return (
        isinstance(value, dict)
        and set(value) == {_KEY}
        and isinstance(value[_KEY], str)
        and value[_KEY].startswith(f"{FOLDER}/")
    )
