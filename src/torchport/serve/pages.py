"""Pages for people: the playground, and the OpenAPI document with its page. Nothing of them comes from elsewhere."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from .messages import Refused

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}

SAFE = [
    ("content-security-policy", "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
]
"""A page runs no script but its own, and loads nothing from elsewhere."""

_PAGES = {"": "index.html", "docs": "docs.html"}


def page(path: str) -> tuple[list[tuple[str, str]], bytes] | None:
    """Headers and content of a page or of a part of one; None where there is none of that name."""
    name = _PAGES.get(path) or path.removeprefix("playground/")
    if path not in _PAGES and not path.startswith("playground/"):
        return None
    return _file(name)


@cache
def _known() -> dict[str, bytes]:
    folder = files("torchport.serve").joinpath("playground")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


def _file(name: str) -> tuple[list[tuple[str, str]], bytes]:
    content = _known().get(name)
    if content is None:
        raise Refused(404, f"there is no page '{name[:100]}'")
    kind = TYPES[name[name.rindex(".") :]]
    return [("content-type", kind), ("cache-control", "no-cache"), *SAFE], content
