"""A user's videos as items, with the tracks that are in them where that is known."""

from __future__ import annotations

from pathlib import Path

from ...errors import BadInput
from ..parts import Item
from . import mot, video

_FRAMES = "img1"
"""Where a sequence of the MOTChallenge keeps its frames; `gt/gt.txt` beside it says what is in them."""

_HINT = f"give a video ({', '.join(video.SUFFIXES)}), a folder of frames, or a folder of these"


def list_items(data: Path) -> list[Item]:
    """The videos of `data` in a stable order, labelled with their true tracks (`mot.Truth`) where there are such.

    Args:
        data: a video, an animated picture or a zip file of frames; a folder of frames, also as the MOTChallenge has
        them (`img1/`);
            or a folder of any of these, of which the files with a video's suffix and the folders of frames are taken.
            The truth lies beside a file as `NAME.mot.txt`, in a folder as `gt/gt.txt`, `gt.txt` or `instances.json`
            (COCO with `track_id`).

    Raises:
        BadInput: there is no video, or the folder or its truth cannot be read.
    """
    if not data.exists():
        raise BadInput(f"{data} does not exist", _HINT)
    try:
        if data.is_file() or frames_of(data):
            return [_item(data, data.name)]
        inside = sorted(
            (path for path in data.iterdir() if not path.name.startswith(".")),
            key=lambda path: video.natural(path.name),
        )
        items = [
            _item(path, path.name)
            for path in inside
            if (path.is_file() and path.suffix.lower() in video.SUFFIXES) or (path.is_dir() and frames_of(path))
        ]
    except OSError as exc:
        raise BadInput(f"{data} cannot be read: {exc.strerror}", "check the path and its permissions") from exc
    if not items:
        raise BadInput(f"{data} holds no videos", _HINT)
    return items


def frames_of(folder: Path) -> Path | None:
    """The folder that holds a folder's frames: itself, unless there are videos in it, or its `img1`."""
    for place in (folder / _FRAMES, folder):
        files = [path for path in place.iterdir() if path.is_file()] if place.is_dir() else []
        if any(map(video.is_frame, files)) and not any(path.suffix.lower() in video.SUFFIXES for path in files):
            return place
    return None


def read(path: Path) -> bytes:
    """A video's content: that of a file, or the frames of a folder as a zip file.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        return video.zipped(frames_of(path) or path) if path.is_dir() else path.read_bytes()
    except OSError as exc:
        raise BadInput(f"{path} cannot be read: {exc.strerror}", "check the path and its permissions") from exc


def _item(path: Path, name: str) -> Item:
    return Item(name, lambda: read(path), _truth_of(path))


def _truth_of(path: Path) -> mot.Truth | None:
    if path.is_file():
        beside = path.with_name(path.stem + mot.SUFFIX)
        return mot.read(beside) if beside.is_file() else None
    for place in (path / "gt" / "gt.txt", path / "gt.txt"):
        if place.is_file():
            return mot.read(place)
    return mot.from_coco(path / "instances.json") if (path / "instances.json").is_file() else None
