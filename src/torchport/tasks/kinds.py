"""Kinds of facts: what a value of a type is, as text and as JSON, and the allowed values in words.

A kind is an annotation of `None`, `bool`, `int`, `float`, `str`, `Path`, `Any`, `Literal`, `tuple[kind, ...]`,
`dict[str, kind]`, their unions, and `Annotated[kind, Meta(...)]` with bounds. A list of so many is `tuple[kind, ...]`
with `min_length` and `max_length`: a `tuple[kind, kind]` beside a number with bounds makes msgspec 0.22 crash.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Meta


def one_of(*names: str) -> Meta:
    """The bound of text that is one of some names, for what `Literal` cannot list: the rows of a table."""
    return Meta(pattern=f"^({'|'.join(map(re.escape, names))})$", extra={"one of": names})


MOST = 2**30
"""Greatest value of a whole number where a fact says no other."""

Count = Annotated[int, Meta(ge=1, le=MOST)]
Share = Annotated[float, Meta(ge=0, le=1)]
Seed = Annotated[int, Meta(ge=0, le=2**53)]

_WORDS: Mapping[str, Any] = {"none": None, "null": None, "true": True, "false": False}
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def parse(text: Any) -> Any:
    """What a setting typed as text means: JSON, `a,b,c`, a word such as `none`, or else the text; other values stay."""
    if not isinstance(text, str):
        return text
    word = text.strip()
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    try:
        return json.loads(word)
    except ValueError:
        return [parse(part) for part in word.split(",")] if "," in word else word


def is_none(kind: Any, value: Any) -> bool:
    """Whether a value says that there is none, of a kind that may have none."""
    if get_origin(kind) is Annotated:
        return is_none(get_args(kind)[0], value)
    says_so = value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null", ""))
    return says_so and NoneType in get_args(kind)


def fitted(kind: Any, value: Any) -> Any:
    """A value as its kind has it; raises ValueError where it is none of it."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        made = fitted(parts[0], value)
        for bound in parts[1:]:
            if isinstance(bound, Meta) and not _within(bound, made):
                raise ValueError
        return made
    if origin in (Union, UnionType):
        return None if is_none(kind, value) else _one_of(parts, value)
    if origin is Literal:
        return _same(parts, "none" if value is None else value)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(fitted(parts[0], one) for one in value)
    if origin is dict and isinstance(value, Mapping):
        return {fitted(parts[0], key): fitted(parts[1], one) for key, one in value.items()}
    return _plain(kind, value)


def _same(known: tuple[Any, ...], value: Any) -> Any:
    for one in known:
        if value == one and isinstance(value, bool) == isinstance(one, bool):
            return one
    raise ValueError


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        try:
            return fitted(kind, value)
        except ValueError:
            continue
    raise ValueError


def _plain(kind: Any, value: Any) -> Any:
    if kind is Any or (kind is NoneType and value is None) or (kind in (str, Path) and isinstance(value, kind)):
        return value
    if kind is bool and isinstance(value, bool | str) and str(value).lower() in _FLAGS:
        return _FLAGS[str(value).lower()]
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if kind is float and number:
        return float(value)
    if kind is int and number and value == int(value):
        return int(value)
    raise ValueError


def _within(bound: Meta, value: Any) -> bool:
    if isinstance(value, str):
        return bound.pattern is None or re.fullmatch(bound.pattern, value) is not None
    if isinstance(value, tuple):
        return (bound.min_length or 0) <= len(value) <= (bound.max_length or math.inf)
    if not isinstance(value, int | float):
        return True
    return (
        (bound.ge is None or value >= bound.ge)
        and (bound.gt is None or value > bound.gt)
        and (bound.le is None or value <= bound.le)
    )


def allowed(kind: Any) -> str:
    """The allowed values in words where a description does not name them: of numbers, and of what is true or false."""
    origin, parts = get_origin(kind), [one for one in get_args(kind) if one is not NoneType]
    if origin in (Union, UnionType):
        return next(filter(None, map(allowed, parts)), "")
    if origin is tuple:
        return f"each {said}" if (said := allowed(parts[0])) else ""
    if origin is Annotated and get_origin(parts[0]) is not None:
        return allowed(parts[0])
    bounded = origin is Annotated and parts[0] in (int, float)
    return words(kind, brief=True) if bounded or kind is bool or (origin is Annotated and parts[0] is bool) else ""


def words(kind: Any, *, brief: bool = False) -> str:
    """The values of a kind in words: `a whole number, 1 to 4096`, `bilinear or bicubic`, `none, or text`.

    Args:
        brief: without a greatest value that is only there so that a mistyped number is found.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        bounds = [one for one in parts[1:] if isinstance(one, Meta)]
        count = next((f" of {one.max_length}" for one in bounds if one.max_length is not None), "")
        said = words(parts[0]).replace("a list", f"a list{count}", 1)
        return said + "".join(_bounds(one, brief) for one in bounds)
    if origin in (Union, UnionType):
        return ", or ".join(words(one) for one in sorted(parts, key=lambda one: one is not NoneType))
    if origin is Literal:
        *others, last = (json.dumps(one).strip('"') for one in parts)
        return f"{', '.join(others)} or {last}" if others else last
    if origin is tuple:
        return f"a list, each {words(parts[0])}"
    named = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a file"}
    return "none" if kind is NoneType else named.get(kind, "a table" if origin is dict else "any value")


def _bounds(bound: Meta, brief: bool) -> str:
    if bound.extra:
        return f", one of {', '.join(bound.extra['one of'])}"
    least, most = (f"{one:.15g}" if isinstance(one, float) else str(one) for one in (bound.ge, bound.le))
    if bound.gt is not None:
        return f", more than {bound.gt:g}" + ("" if bound.le is None else f", at most {most}")
    if bound.ge is None:
        return ""
    if bound.le is None:
        return f", {least} or more"
    return f" from {least} on" if brief and bound.le >= MOST else f", {least} to {most}"
