"""A user's recordings as items, with what is said in them: a folder, a table, or one file."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from ...errors import BadInput
from ..parts import Item
from .audio import SUFFIXES
from .columns import RECORDING, TRANSCRIPT, column

_COLUMNS = "a first line with the columns file,text; paths are relative to the table"


def list_recordings(data: Path) -> list[Item]:
    """The recordings of `data` in a stable order; the label is the transcript where there is one.

    Args:
        data: one recording; a CSV file with the columns `file` (relative to the CSV) and `text`; or a folder that holds
        one CSV
            file, or recordings, each with its transcript in a text file of the same name beside it, if there is one.

    Raises:
        BadInput: no recording, or what cannot be read.
    """
    if not data.exists():
        raise BadInput(
            f"{data} does not exist",
            "give a folder of recordings, a recording, or a CSV file with the columns file,text",
        )
    try:
        if data.is_file():
            items = _from_table(data) if data.suffix.lower() == ".csv" else [_item(data, data.name)]
        else:
            tables = sorted(path for path in data.glob("*.csv") if not path.name.startswith("."))
            found = sorted(
                path
                for path in data.rglob("*")
                if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
            )
            items = (
                _from_table(tables[0])
                if len(tables) == 1
                else [_item(path, path.relative_to(data).as_posix()) for path in found]
            )
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise BadInput(
            f"{data} cannot be read: {exc}", "transcripts are UTF-8; check the path and its permissions"
        ) from exc
    if not items:
        raise BadInput(f"{data} holds no recording", f"recordings end in {', '.join(SUFFIXES)}")
    return items


def _from_table(table: Path) -> list[Item]:
    items = []
    with table.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        file, said = (
            column(rows.fieldnames, RECORDING, table.name),
            column(rows.fieldnames, TRANSCRIPT, table.name, needed=False),
        )
        for row in rows:
            name = row[file or ""] or ""
            path = table.parent / name
            if not path.is_file():
                raise BadInput(f"{table}, line {rows.line_num}: there is no file '{name}'", _COLUMNS)
            items.append(_item(path, name, row[said] if said else None))
    return items


def _item(path: Path, name: str, said: str | None = None) -> Item:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as exc:
            raise BadInput(f"{path} cannot be read: {exc.strerror}", "check the path and its permissions") from exc

    beside = path.with_suffix(".txt")
    if said is None and beside.is_file():
        said = beside.read_text(encoding="utf-8").strip()
    return Item(os.fspath(name), read, said)
