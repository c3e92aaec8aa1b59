"""A user's labelled pictures as items: a folder, a CSV file, or one picture."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...errors import BadInput
from ..parts import Item
from .columns import LABEL, PICTURE, column

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jp2", ".tga")

Label = Callable[[str], "int | str | None"]


def list_items(data: Path, labels: Sequence[str] | None) -> list[Item]:
    """The pictures of `data` in a stable order, with class indices as labels where there are any.

    Args:
        data: one picture; a CSV file with the columns `file` (or `image`, `path`, `filename`; relative to the CSV) and
        `label` (or `class`, `target`, `category`); or a folder that holds one CSV file,
            or pictures (labelled if each is called `*_LABEL.ext`), or a sub-folder of pictures per class. Other files
            are skipped.
        labels: names of the classes, where they are known. A label is a name, or the index of a class.

    Raises:
        BadInput: no picture, an unreadable folder, or a label that is not one of `labels`.
    """
    return _list(data, lambda text: _index(text, labels), lambda found: _subfolders(data, found, labels))


def list_named(data: Path) -> list[Item]:
    """As `list_items`, where a label is any text: who or what is shown, or what is written there.

    Raises:
        BadInput: no picture, or an unreadable folder.
    """
    return _list(data, lambda text: text or None, lambda found: {folder: folder.name for folder in found})


def _list(data: Path, label: Label, subfolders: Callable[[list[Path]], dict[Path, Any]]) -> list[Item]:
    """The pictures of a folder or file; `label` tells what a text means, `subfolders` what each sub-folder of pictures
    does.
    """
    if not data.exists():
        raise BadInput(
            f"{data} does not exist", "give a folder of pictures, a picture, or a CSV file with the columns file,label"
        )
    if data.is_file():
        return _from_csv(data, label) if data.suffix.lower() == ".csv" else [_item(data, data.name)]
    try:
        listed = sorted(path for path in data.iterdir() if not path.name.startswith("."))
        tables, pictures = (
            [path for path in listed if path.suffix.lower() == ".csv"],
            [path for path in listed if is_picture(path)],
        )
        if len(tables) == 1:
            return _from_csv(tables[0], label)
        items = (
            _from_names(pictures, label)
            if pictures
            else _from_subfolders(data, [path for path in listed if path.is_dir()], subfolders)
        )
    except OSError as exc:
        raise BadInput(f"{data} cannot be read: {exc.strerror}", "check the path and its permissions") from exc
    if not items:
        raise BadInput(f"{data} holds no picture", f"pictures end in {', '.join(SUFFIXES)}")
    return items


def _from_names(pictures: list[Path], label: Label) -> list[Item]:
    labels = [label(path.stem.rpartition("_")[2]) if "_" in path.stem else None for path in pictures]
    if None in labels:  # names that only look labelled: the folder is not
        labels = [None] * len(pictures)
    return [_item(path, path.name, one) for path, one in zip(pictures, labels, strict=True)]


def _from_subfolders(data: Path, folders: list[Path], label: Callable[[list[Path]], dict[Path, Any]]) -> list[Item]:
    found = {folder: sorted(path for path in folder.rglob("*") if is_picture(path)) for folder in folders}
    found = {folder: pictures for folder, pictures in found.items() if pictures}
    labels = label(list(found))
    return [
        _item(path, path.relative_to(data).as_posix(), labels[folder])
        for folder, pictures in found.items()
        for path in pictures
    ]


def _subfolders(data: Path, found: list[Path], labels: Sequence[str] | None) -> dict[Path, Any]:
    indices = {folder: _index(folder.name, labels) for folder in found}
    if None in indices.values():
        if labels and len(labels) != len(found):
            stranger = next(folder for folder, index in indices.items() if index is None)
            raise BadInput(
                f"sub-folder '{stranger.name}' of {data} is not one of the {len(labels)} labels",
                "name the sub-folders after the labels, or by class index",
            )
        return {folder: number for number, folder in enumerate(found)}
    return indices


def _from_csv(table: Path, label: Label) -> list[Item]:
    items = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            file, kind = (
                column(reader.fieldnames, PICTURE, table.name),
                column(reader.fieldnames, LABEL, table.name, needed=False),
            )
            for row in reader:
                where = f"{table}, line {reader.line_num}"
                name, text = row[file or ""] or "", (row[kind] or "").strip() if kind else ""
                path = table.parent / name
                if not path.is_file():
                    raise BadInput(f"{where}: there is no file '{name}'", "paths are relative to the CSV file")
                meant = label(text)
                if meant is None and text:
                    raise BadInput(
                        f"{where}: '{text}' is not a label",
                        "give a class index, or one of the names that --set labels=FILE lists",
                    )
                items.append(_item(path, name, meant))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise BadInput(f"{table} cannot be read: {exc}", "save it as a CSV file in UTF-8") from exc
    if not items:
        raise BadInput(f"{table} lists no picture", "give one line a picture: file,label")
    return items


def _index(text: str, labels: Sequence[str] | None) -> int | None:
    """The class that a label means, or None. A number with leading zeros counts something else, such as photos; a name
    must be one class's.
    """
    if text.isascii() and text.isdigit() and str(int(text)) == text:
        index = int(text)
        return index if labels is None or index < len(labels) else None
    named = [i for i, name in enumerate(labels or ()) if name == text]
    return named[0] if len(named) == 1 else None


def is_picture(path: Path) -> bool:
    """Whether a path is a picture's file, by its suffix."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _item(path: Path, name: str, label: int | str | None = None) -> Item:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as exc:
            raise BadInput(f"{path} cannot be read: {exc.strerror}", "check the path and its permissions") from exc

    return Item(os.fspath(name), read, label)
