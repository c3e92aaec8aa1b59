"""The command line that repeats a deploy: the table of options, written with the fields of its Request."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from ..tasks.parts import written
from .options import OPTIONS, Option
from .request import Request

ARGUMENTS = ("source", "output")
"""Options that every command has: what is deployed, and where to."""


def command(request: Request) -> str:
    """`torchport deploy ...` with everything that was asked for, to be typed where its files are: of a path there is
    the last part, for a report travels, and where its maker keeps files is nobody's business."""
    source = request.source if isinstance(request.source, str) else type(request.source).__name__
    defaults = {one.name: one.default for one in fields(request)}
    words = ["torchport", "deploy", _named(source)]
    for option in OPTIONS:
        value, default = getattr(request, option.field), defaults[option.field]
        if option.name not in ARGUMENTS and (default is MISSING or value != default):
            words += _flag(option, value)
    return shlex.join([*words, "-o", _named(str(request.output))])


def _flag(option: Option, value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield from [option.flag] if value else []
    elif option.repeated:
        texts = [f"{key}={_text(one)}" for key, one in value.items()] if isinstance(value, Mapping) else value
        for text in texts:
            yield from (option.flag, text)
    elif value is not None:
        yield from (option.flag, "none" if option.name == "golden" and value == 0 else _text(value))


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
