"""The command line that repeats a deploy, written from the fields of its Request: a new field is a flag of its name."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from ..tasks.parts import written
from .request import Request

FLAGS = {
    "arguments": "--arg",
    "inputs": "--input",
    "settings": "--set",
    "profile": "--for",
    "time_s": "--time",
    "limit_s": "--limit",
}
"""Fields of a Request whose flags have other names."""

REPEATED = ("--input", "--drop")
"""Flags that are given once a text."""

ARGUMENTS = ("source", "output", "log")
"""Fields that are no flags: what is deployed, and where to."""


def command(request: Request) -> str:
    """`torchport deploy ...` with everything that was asked for, to be typed where its files are: of a path there is
    the last part, for a report travels, and where its maker keeps files is nobody's business."""
    source = request.source if isinstance(request.source, str) else type(request.source).__name__
    words = ["torchport", "deploy", _named(source)]
    for one in fields(request):
        value = getattr(request, one.name)
        if one.name not in ARGUMENTS and (one.default is MISSING or value != one.default):
            words += _flag(flag_of(one.name), value)
    return shlex.join([*words, "-o", _named(str(request.output))])


def flag_of(field: str) -> str:
    """The flag that fills a field of a Request."""
    return FLAGS.get(field, f"--{field.replace('_', '-')}")


def _flag(flag: str, value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield from [flag] if value else []
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from (flag, f"{key}={_text(one)}")
    elif flag in REPEATED:
        for one in value:
            yield from (flag, one)
    elif value is not None:
        yield from (flag, "none" if flag == "--golden" and value == 0 else _text(value))


def _text(value: Any) -> str:
    """One value as a flag takes it."""
    if isinstance(value, Path):
        return _named(str(value))
    if isinstance(value, list | tuple) and any(isinstance(one, Path) for one in value):
        return ",".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else written(value)


def _named(path: str) -> str:
    """The last part of a path."""
    return Path(path).name
