"""A user's pictures with the boxes that are in them: COCO files, a JSON file beside each picture, or no labels at
all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import BadInput
from ..parts import Item
from .picture_items import SUFFIXES

_HINT = (
    "a COCO file has images, annotations and categories; a file beside a picture has boxes: [{label or index, box: "
    "[x1, y1, x2, y2]}]"
)


class Boxes(list[dict[str, Any]]):
    """What is to be found in one picture: `{"index", "box": [x1, y1, x2, y2]}` each, and `crowd` where it is a mass of
    things.
    """

    def __str__(self) -> str:
        return f"{len(self)} box{'' if len(self) == 1 else 'es'}"


def list_items(data: Path, labels: Sequence[str] | None) -> list[Item]:
    """The pictures of `data` in a stable order, with their boxes.

    Args:
        data: one picture; a COCO file, its pictures beside it or in the folder `images` there; or a folder with one
        COCO file, or
            with pictures and `NAME.json` beside `NAME.png`, as `predict` answers it. Without such files there are no
            labels.
        labels: names of the classes, where they are known; else classes are numbered in the order of the COCO
        categories.

    Raises:
        BadInput: no picture, a damaged file, or a class that is not one of `labels`.
    """
    if not data.exists():
        raise BadInput(f"{data} does not exist", "give a folder of pictures, a picture, or a COCO file")
    if data.is_file():
        return _coco(data, _json(data), labels) if data.suffix.lower() == ".json" else [_item(data, data.name)]
    found = sorted(path for path in data.rglob("*") if _is_picture(path))
    documents = {
        path: content
        for path in sorted(data.glob("*.json"))
        if isinstance(content := _json(path), dict) and "annotations" in content
    }
    if len(documents) == 1:
        return _coco(*documents.popitem(), labels)
    if documents:
        raise BadInput(
            f"{data} holds several COCO files: {', '.join(path.name for path in documents)}",
            "give the one to use as --data",
        )
    if not found:
        raise BadInput(f"{data} holds no picture", f"pictures end in {', '.join(SUFFIXES)}")
    return [_item(path, path.relative_to(data).as_posix(), _beside(path, labels)) for path in found]


def _coco(path: Path, content: Any, labels: Sequence[str] | None) -> list[Item]:
    try:
        order = sorted(content["categories"], key=lambda one: one["id"])
        indices = {one["id"]: _index(one["name"], labels, path) if labels else place for place, one in enumerate(order)}
        boxes: dict[int, Boxes] = {one["id"]: Boxes() for one in content["images"]}
        for one in content["annotations"]:
            x, y, width, height = map(float, one["bbox"])
            box = {"index": indices[one["category_id"]], "box": [x, y, x + width, y + height]}
            boxes[one["image_id"]].append(box | ({"crowd": True} if one.get("iscrowd") else {}))
        pictures = [(one["file_name"], boxes[one["id"]]) for one in content["images"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise BadInput(f"{path} is not a COCO file of boxes: {type(exc).__name__} {exc}", _HINT) from exc
    if not pictures:
        raise BadInput(f"{path} lists no picture", _HINT)
    items = []
    for name, label in pictures:
        place = next(
            (folder / name for folder in (path.parent, path.parent / "images") if (folder / name).is_file()), None
        )
        if place is None:
            raise BadInput(
                f"{path}: there is no file '{name}'", "pictures lie beside the file, or in the folder images there"
            )
        items.append(_item(place, name, label))
    return items


def _beside(picture: Path, labels: Sequence[str] | None) -> Boxes | None:
    path = picture.with_suffix(".json")
    if not path.is_file():
        return None
    content = _json(path)
    try:
        rows = content["boxes"] if isinstance(content, dict) else content
        return Boxes(
            {
                "index": one["index"] if "index" in one else _index(one["label"], labels, path),
                "box": [float(edge) for edge in one["box"]],
            }
            for one in rows
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise BadInput(f"{path} holds no boxes: {type(exc).__name__} {exc}", _HINT) from exc


def _index(name: str, labels: Sequence[str] | None, path: Path) -> int:
    if labels is None or name not in labels:
        raise BadInput(
            f"{path}: '{name}' is not one of the {len(labels or ())} labels",
            "give --set labels=..., with every class that the boxes name",
        )
    return list(labels).index(name)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as exc:
        raise BadInput(f"{path} cannot be read: {exc}", _HINT) from exc


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _item(path: Path, name: str, label: Boxes | None = None) -> Item:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as exc:
            raise BadInput(f"{path} cannot be read: {exc.strerror}", "check the path and its permissions") from exc

    return Item(name, read, label)
