"""Texts from bytes, and a user's labelled texts as items: a folder, a table, or one file."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import BadInput
from ..parts import Item
from .columns import LABEL, TEXT, column, refuse_pairs

SUFFIXES = (".txt", ".md")
MIME = {"text/plain": ".txt", "text/markdown": ".md"}
TABLES = (".csv", ".tsv", ".jsonl")

MOST_BYTES = 2**20
"""How much of a text is read at most: 1 MiB, several times what any model here takes in."""


def decode(raw: bytes) -> str:
    """The text of UTF-8 bytes without what surrounds it; of more than `MOST_BYTES` the beginning.

    Raises:
        BadInput: the text is empty, or the bytes are not UTF-8.
    """
    head = raw[:MOST_BYTES]
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        if len(raw) == len(head) or exc.start < len(head) - 4:  # else a character that the cut went through
            raise BadInput(f"the text is not UTF-8 at byte {exc.start}", "save it as UTF-8") from exc
        text = head[: exc.start].decode("utf-8-sig")
    text = text.strip().strip("\0")
    if not text:
        raise BadInput("the text is empty", "give at least one word")
    return text


def items_of(data: Path) -> list[Item]:
    """The texts of `data` in a stable order; a label is a string as it was written, or None.

    Args:
        data: one text file; a table with a column `text` and perhaps `label` (`.csv`, `.tsv`, or `.jsonl` of objects);
        or a
            folder that holds one such table, text files, or a sub-folder of text files per label. Other files are
            skipped.

    Raises:
        BadInput: no text, or what cannot be read.
    """
    if not data.exists():
        raise BadInput(
            f"{data} does not exist", "give a folder of texts, a text file, or a table with the columns text,label"
        )
    try:
        found = _from_folder(data) if data.is_dir() else _from_file(data)
    except OSError as exc:
        raise BadInput(f"{data} cannot be read: {exc.strerror}", "check the path and its permissions") from exc
    if not found:
        raise BadInput(
            f"{data} holds no text", f"texts end in {', '.join(SUFFIXES)}; tables end in {', '.join(TABLES)}"
        )
    return found


def _from_file(path: Path) -> list[Item]:
    return list(_from_table(path)) if path.suffix.lower() in TABLES else [Item(path.name, path.read_bytes)]


def _from_folder(folder: Path) -> list[Item]:
    listed = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    tables = [path for path in listed if path.suffix.lower() in TABLES]
    if len(tables) == 1:
        return list(_from_table(tables[0]))
    here = [Item(path.name, path.read_bytes) for path in listed if is_text(path)]
    below = [(part, path) for part in listed if part.is_dir() for path in sorted(part.rglob("*")) if is_text(path)]
    return here or [Item(path.relative_to(folder).as_posix(), path.read_bytes, part.name) for part, path in below]


def is_text(path: Path) -> bool:
    """Whether a path is a text's file, by its suffix."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _from_table(path: Path) -> Iterator[Item]:
    for line, row in _rows(path):
        where = f"{path.name}, line {line}"
        refuse_pairs(row, where)
        said, kind = (column(list(row), names, where, needed=False) for names in (TEXT, LABEL))
        text, label = row[said] if said else None, row[kind] if kind else None
        if not isinstance(text, str):
            raise BadInput(
                f"{where}: there is no text in the columns {', '.join(map(str, row))}",
                "name the columns text and, where there are labels, label",
            )
        yield Item(f"{path.name}:{line}", text.encode, None if label is None or label == "" else str(label))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, its fields by name) of a table."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            if path.suffix.lower() == ".jsonl":
                for line, content in enumerate(lines, 1):
                    if content.strip():
                        row = json.loads(content)
                        yield line, row if isinstance(row, dict) else {}
                return
            csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # of a text 128 kB would be an error
            reader = csv.DictReader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            for row in reader:
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error, ValueError) as exc:
        raise BadInput(
            f"{path.name} cannot be read as a table: {str(exc)[:100]}", "save it as UTF-8 with the columns text,label"
        ) from exc
