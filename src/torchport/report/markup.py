"""HTML and SVG whose text is escaped by construction: `text`, `el` and `join` make markup, and escape what is not."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# An absolute path on any system, outside a URL: a report travels, and the folders of the machine it was made on do not.
_ABSOLUTE = re.compile(
    r"(?<![\w./\\])(?:file:/{2,3}|~?/(?!/)|[A-Za-z]:[\\/])(?:[^\s\\/'\"<>|,;:]+[\\/])*([^\s\\/'\"<>|,;:]*)"
)

_VOID = frozenset({"br", "circle", "img", "line", "meta", "path", "polyline", "rect"})


class Html(str):
    """Markup that is already escaped."""

    __slots__ = ()


Child = Html | str | None


def text(value: str) -> Html:
    """A user's or a library's text as markup: absolute paths cut down to their last part, special characters
    escaped.
    """
    return Html(html.escape(without_paths(value)))


def without_paths(value: str) -> str:
    """The text with every absolute path replaced by its last part, as in `/home/me/net.py:Net` -> `net.py:Net`."""
    return _ABSOLUTE.sub(lambda match: match[1] if "/" in match[0][1:] or "\\" in match[0] else match[0], value)


def el(name: str, /, *children: Child, **attributes: str | float | None) -> Html:
    """One element.

    Args:
        name: its tag.
        children: markup as it is, any other text escaped; None is left out.
        attributes: underscores become hyphens, a trailing one is dropped (`class_`); None is left out; a value that is
            markup already, such as a picture's data, stays as it is.
    """
    spelled = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Html(f"<{name}{spelled}>" if name in {"br", "img", "meta"} else f"<{name}{spelled}/>")
    return Html(f"<{name}{spelled}>{join(children)}</{name}>")


def join(children: Iterable[Child], between: str = "") -> Html:
    """Several pieces as one, with some text between them."""
    return Html(
        text(between).join(child if isinstance(child, Html) else text(child) for child in children if child is not None)
    )


def _value(value: str | float) -> str:
    if isinstance(value, Html):
        return value
    return text(f"{value:.6g}" if isinstance(value, float) else str(value))
