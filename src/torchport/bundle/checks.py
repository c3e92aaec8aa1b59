"""What the rules of a manifest are made of: names, numbers, counts and paths."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, NoReturn

from ..errors import BundleError
from . import manifest as m
from .grammar import AGAIN, DISTRUST, ID, MOST, MOST_SIZE, NAME, PART, printable


def check_inside(path: str, where: str) -> None:
    """Refuse a listed path that could leave the Bundle, or has letters that no path of a Bundle has."""
    parts = PurePosixPath(path).parts
    if (
        not parts
        or path.startswith("/")
        or ".." in parts
        or "\\" in path
        or ":" in parts[0]
        or PurePosixPath(*parts).as_posix() != path
    ):
        raise BundleError(f"{where}: the path '{printable(path)}' leaves the Bundle", DISTRUST)
    if len(parts) > 16 or not all(map(PART.fullmatch, parts)):
        raise BundleError(
            f"{where}: the path '{printable(path)}' has letters or a length that no path of a Bundle has", DISTRUST
        )


class Checks:
    """One manifest, and how a rule that it breaks is said."""

    def __init__(self, manifest: m.Manifest, where: str) -> None:
        self._manifest, self._where = manifest, where

    def _broken(self, what: str) -> NoReturn:
        raise BundleError(f"{self._where}: {what}", AGAIN)

    def _count(self, what: str, things: Iterable[Any]) -> None:
        count = len(list(things))
        if count > MOST[what]:
            self._broken(f"there are {count} {what}; at most {MOST[what]} are allowed")

    def _unique(self, what: str, names: Iterable[str]) -> None:
        seen = set[str]()
        for name in names:
            if name in seen:
                self._broken(f"two {what} are called '{printable(name)}'")
            seen.add(name)

    def _ids(self, what: str, *names: str) -> None:
        for name in names:
            if not ID.fullmatch(name):
                self._broken(f"the {what} '{printable(name, 60)}' is not a plain name")

    def _names(self, what: str, *names: str) -> None:
        for name in names:
            if not NAME.fullmatch(name):
                self._broken(f"the {what} '{printable(name, 60)}' is not a plain name")

    def _text(self, what: str, text: str) -> None:
        if len(text) > 2000 or not text.isprintable():
            self._broken(f"{what} is too long, or not plain text")

    def _number(self, what: str, value: float | None, least: float = 0, most: float = MOST_SIZE) -> None:
        if value is not None and not ((isinstance(value, int) or math.isfinite(value)) and least <= value <= most):
            self._broken(
                f"{what} is {value if isinstance(value, float) or abs(value) < MOST_SIZE else 'beyond all bounds'}, "
                f"it takes {least:g} to {most:g}"
            )

    def _free(self, value: Any, depth: int = 0) -> None:
        """Values that only a task or a person reads: finite, and not nested without end."""
        if depth > MOST["layers of lists"]:
            self._broken(f"values are nested more than {MOST['layers of lists']} deep")
        if isinstance(value, dict):
            for one in value.values():
                self._free(one, depth + 1)
        elif isinstance(value, list | tuple):
            for one in value:
                self._free(one, depth + 1)
        elif isinstance(value, int | float):
            self._number("a number", value, -MOST_SIZE * 2**13, MOST_SIZE * 2**13) if isinstance(
                value, int
            ) else self._number("a number", value, -1e308, 1e308)
