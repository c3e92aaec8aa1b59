"""The user's cache folder: things that can be made again, keyed by content, never needed and never trusted to be there.

`TORCHPORT_CACHE` names the folder, or is `off`; else it is `torchport` in `XDG_CACHE_HOME`, in `LOCALAPPDATA` on Windows,
or in `~/.cache`. Every failure to read or write here is silent by design: the caller does without.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from functools import lru_cache
from pathlib import Path

__all__ = ["digest", "entry", "folder", "publish", "room", "scratch"]

LIMIT_BYTES = 2 * 1024**3
"""The greatest total size of one kind of entries; the least recently used go first."""


def folder() -> Path | None:
    """The cache folder, which need not exist; None where caching is off or no home folder is known."""
    named = os.environ.get("TORCHPORT_CACHE")
    if named:
        return None if named.lower() == "off" else Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    if base:
        return Path(base) / "torchport"
    try:
        return Path.home() / ".cache" / "torchport"
    except RuntimeError:
        return None


def digest(path: Path) -> str:
    """sha256 of a file, computed once a process as long as its size and times stay the same.

    Raises:
        OSError: the file cannot be read.
    """
    stat = path.stat()
    return _digest(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, *_identity: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry(kind: str, *key: str, suffix: str = "") -> Path | None:
    """Where the entry of that kind and key is or would be; None where there is no cache folder.

    An entry that is there counts as used now, so that it outlives entries that nobody asks for.
    """
    root = folder()
    if root is None:
        return None
    path = root / kind / (hashlib.sha256("\0".join(key).encode()).hexdigest()[:32] + suffix)
    with contextlib.suppress(OSError):
        os.utime(path)
    return path


def room(kind: str, *key: str, size: int) -> Path | None:
    """The folder of an entry of several files that are used together, made if it is not there; older entries make room.

    Args:
        size: bytes that the files will take in all.

    Returns:
        None where there is no cache folder, it cannot be written, or its disk has not that much left.
    """
    path = entry(kind, *key)
    if path is None:
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent, size - _size(path), path)
        fits = shutil.disk_usage(path).free >= size - _size(path)
    except OSError:
        return None
    return path if fits and os.access(path, os.W_OK) else None


def scratch(path: Path) -> Path | None:
    """A free name beside an entry to write to before `publish`; None where the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return path.parent / f".new-{os.urandom(8).hex()}{path.suffix}" if os.access(path.parent, os.W_OK) else None


def publish(written: Path, path: Path) -> None:
    """Make a finished scratch file or folder the entry in one step, or drop it where that fails; older entries make room."""
    try:
        written.replace(path)
        _make_room(path.parent)
    except OSError:
        _remove(written)


def _make_room(kind: Path, coming: int = 0, spared: Path | None = None) -> None:
    """Remove the least recently used entries of a kind, but for the spared one, beyond the limit; `coming` bytes are on their way."""
    found = sorted(((p.stat().st_mtime_ns, p) for p in kind.iterdir()), reverse=True)
    total = coming
    for _, path in found:
        total += _size(path)
        if total > LIMIT_BYTES and path != spared:
            _remove(path)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(p.stat().st_size for p in files if p.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
