"""A user's labelled pictures as items: a folder, a CSV file, or one picture."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from ...errors import BadInput
from ..base import Item

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jp2", ".tga")


def list_items(data: Path, labels: Sequence[str] | None) -> list[Item]:
    """The pictures of `data` in a stable order, with class indices as labels where there are any.

    Args:
        data: one picture; a CSV file with the columns `file` (relative to the CSV) and `label`; or a folder that holds one CSV file,
            or pictures (labelled if each is called `*_LABEL.ext`), or a sub-folder of pictures per class. Other files are skipped.
        labels: names of the classes, where they are known. A label is a name, or the index of a class.

    Raises:
        BadInput: no picture, an unreadable folder, or a label that is not one of `labels`.
    """
    if not data.exists():
        raise BadInput(f"{data} does not exist", "give a folder of pictures, a picture, or a CSV file with the columns file,label")
    if data.is_file():
        return _from_csv(data, labels) if data.suffix.lower() == ".csv" else [_item(data, data.name)]
    try:
        listed = sorted(path for path in data.iterdir() if not path.name.startswith("."))
        items = _from_folder(data, listed, labels)
    except OSError as exc:
        raise BadInput(f"{data} cannot be read: {exc.strerror}", "check the path and its permissions") from exc
    if not items:
        raise BadInput(f"{data} holds no picture", f"pictures end in {', '.join(SUFFIXES)}")
    return items


def _from_folder(data: Path, listed: list[Path], labels: Sequence[str] | None) -> list[Item]:
    tables = [path for path in listed if path.suffix.lower() == ".csv"]
    if len(tables) == 1:
        return _from_csv(tables[0], labels)
    pictures = [path for path in listed if _is_picture(path)]
    if pictures:
        return _from_names(pictures, labels)
    return _from_subfolders(data, [path for path in listed if path.is_dir()], labels)


def _from_names(pictures: list[Path], labels: Sequence[str] | None) -> list[Item]:
    indices = [_index(path.stem.rpartition("_")[2], labels) if "_" in path.stem else None for path in pictures]
    if None in indices:  # names that only look labelled: the folder is not
        indices = [None] * len(pictures)
    return [_item(path, path.name, index) for path, index in zip(pictures, indices, strict=True)]


def _from_subfolders(data: Path, folders: list[Path], labels: Sequence[str] | None) -> list[Item]:
    found = {folder: sorted(path for path in folder.rglob("*") if _is_picture(path)) for folder in folders}
    found = {folder: pictures for folder, pictures in found.items() if pictures}
    indices = {folder: _index(folder.name, labels) for folder in found}
    if None in indices.values():
        if labels and len(labels) != len(found):
            stranger = next(folder for folder, index in indices.items() if index is None)
            raise BadInput(f"sub-folder '{stranger.name}' of {data} is not one of the {len(labels)} labels", "name the sub-folders after the labels, or by class index")
        indices = dict(zip(found, range(len(found)), strict=True))
    return [_item(path, path.relative_to(data).as_posix(), indices[folder]) for folder, pictures in found.items() for path in pictures]


def _from_csv(table: Path, labels: Sequence[str] | None) -> list[Item]:
    items = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            if not {"file", "label"} <= set(reader.fieldnames or ()):
                raise BadInput(f"{table} has the columns {reader.fieldnames}", "its first line must name the columns file,label")
            for row in reader:
                where = f"{table}, line {reader.line_num}"
                path, label = table.parent / (row["file"] or ""), (row["label"] or "").strip()
                if not path.is_file():
                    raise BadInput(f"{where}: there is no file '{row['file']}'", "paths are relative to the CSV file")
                index = _index(label, labels)
                if index is None and label:
                    raise BadInput(f"{where}: '{label}' is not a label", "give a class index, or one of the names that --set labels=FILE lists")
                items.append(_item(path, row["file"], index))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise BadInput(f"{table} cannot be read: {exc}", "save it as a CSV file in UTF-8") from exc
    if not items:
        raise BadInput(f"{table} lists no picture", "give one line a picture: file,label")
    return items


def _index(text: str, labels: Sequence[str] | None) -> int | None:
    """The class that a label means, or None. A number with leading zeros counts something else, such as photos; a name must be one class's."""
    if text.isascii() and text.isdigit() and str(int(text)) == text:
        index = int(text)
        return index if labels is None or index < len(labels) else None
    named = [i for i, name in enumerate(labels or ()) if name == text]
    return named[0] if len(named) == 1 else None


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _item(path: Path, name: str, label: int | None = None) -> Item:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as exc:
            raise BadInput(f"{path} cannot be read: {exc.strerror}", "check the path and its permissions") from exc

    return Item(os.fspath(name), read, label)
