"""Rows of text as wide as the terminal: what matters stays in its column, the rest goes beneath it, and nothing is ever
cut.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

GAP, INDENT = "  ", "    "

LEAST_NOTE = 36
"""Columns that a note needs to stand beside its row instead of beneath it."""


class Column(NamedTuple):
    """One column: `kept` ones are columns at any width, `right` ones are figures; beneath its row a cell follows its
    `label`.
    """

    head: str
    kept: bool = False
    right: bool = False
    label: str = ""


def columns_of() -> int | None:
    """How many characters a line of standard output may have; None where it is no terminal and nobody says
    (`COLUMNS`).
    """
    stated = os.environ.get("COLUMNS", "")
    if stated.isdigit() and int(stated):
        return int(stated)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None, note: Column | None = None
) -> str:
    """The rows under their heads.

    Columns stay as long as they fit, from the left; a row's other cells follow beneath it, a line for all of them and
    one for its note.

    Args:
        rows: one cell a column, and a note at the end where there is a `note`.
        width: characters a line may have; None: as many as it takes, a line a row.
        note: the last column, of sentences, which are wrapped.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(wide(text) for text in (column.head, *(row[i] for row in cells))) for i, column in enumerate(columns)]
    shown = _fitting(columns, widths, width)
    taken = sum(widths[i] + len(GAP) for i in shown)
    beside = note is not None and len(shown) == len(columns) and (width is None or width - taken >= LEAST_NOTE)
    lines = [
        _line(columns, shown, widths, [column.head for column in columns]) + (note.head if note and beside else "")
    ]
    lines += ["-" * min(max(wide(line) for line in lines), width or 10**9)]
    for row in cells:
        first = _line(columns, shown, widths, row)
        said = row[len(columns)] if note else ""
        if beside:
            lines += _beside(first, said, None if width is None else width - taken)
            continue
        rest = [f"{column.label} {row[i]}".strip() for i, column in enumerate(columns) if i not in shown and row[i]]
        lines += [
            first.rstrip(),
            *_wrapped(", ".join(rest), width),
            *_wrapped(f"{note.label} {said}".strip() if note and said else "", width),
        ]
    return "\n".join(line.rstrip() for line in lines)


def pairs(lines: Sequence[tuple[str, str]], width: int | None) -> str:
    """Headings with a text each, wrapped beside them."""
    room = max((wide(heading) for heading, _ in lines), default=0) + len(GAP)
    made: list[str] = []
    for heading, text in lines:
        first = heading + " " * (room - wide(heading))
        made += _beside(first, clean(text), None if width is None else width - room)
    return "\n".join(line.rstrip() for line in made)


def _fitting(columns: Sequence[Column], widths: Sequence[int], width: int | None) -> list[int]:
    """Those that are kept, and of the others as many as fit, from the left."""
    shown = [i for i, column in enumerate(columns) if column.kept]
    for i in (i for i, column in enumerate(columns) if not column.kept):
        if width is not None and sum(widths[j] + len(GAP) for j in (*shown, i)) - len(GAP) > width:
            break
        shown.append(i)
    return sorted(shown)


def _line(columns: Sequence[Column], shown: Sequence[int], widths: Sequence[int], row: Sequence[str]) -> str:
    def padded(i: int) -> str:
        room = " " * (widths[i] - wide(row[i]))
        return room + row[i] if columns[i].right else row[i] + room

    return "".join(padded(i) + GAP for i in shown)


def _beside(first: str, said: str, room: int | None) -> list[str]:
    if room is None:
        return [first + said]
    lines = fold(said, room) or [""]
    return [first + lines[0], *(" " * wide(first) + line for line in lines[1:])]


def _wrapped(text: str, width: int | None) -> list[str]:
    return [INDENT + line for line in fold(text, (width or 10**9) - len(INDENT))]


def fold(text: str, room: int) -> list[str]:
    """The text in lines of at most `room` columns, broken between words where it can be; wide characters count for
    two.
    """
    lines: list[str] = []
    for line in textwrap.wrap(text, max(room, 20), break_on_hyphens=False):
        while wide(line) > max(room, 20):
            cut = next(i for i in range(len(line), 0, -1) if wide(line[:i]) <= max(room, 20))
            lines.append(line[:cut])
            line = line[cut:]
        lines.append(line)
    return lines


def wide(text: str) -> int:
    """How many columns of a terminal a text takes: two for each wide (East Asian) character, none for what combines."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def clean(text: str) -> str:
    """The text on one line, without anything that moves a terminal's cursor."""
    return "".join(one if one.isprintable() else " " for one in text)
