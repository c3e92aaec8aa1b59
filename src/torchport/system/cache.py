"""The user's cache folder: things that can be made again, keyed by content, never needed, and never trusted.

Whatever is taken from here is checked by its sha256 first: an entry of one file carries it in its name (`find`,
`keep`), an entry of several files is checked by whoever asks for it.

`TORCHPORT_CACHE` names the folder, or is `off`; else it is `torchport` in `XDG_CACHE_HOME`, in `LOCALAPPDATA` on
Windows, or in `~/.cache`. Every failure to read or write here is silent by design: the caller does without.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from functools import lru_cache
from pathlib import Path

__all__ = ["digest", "entry", "find", "folder", "keep", "publish", "room", "scratch", "settle"]

LIMIT_BYTES = 2 * 1024**3
"""The greatest total size of one kind of entries; the least recently used go first."""

SPARED_BYTES = 1 << 30
"""What stays free of the disk, at most."""

IN_USE_S = 120
"""How long after it was asked for an entry is left alone, in seconds: somebody may be opening it."""

SCRATCH = ".new-"
ABANDONED_S = 86400
"""How old a scratch file is that a killed run left, in seconds."""


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


@lru_cache(maxsize=4096)
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


def find(place: Path, suffix: str) -> Path | None:
    """The file that `keep` made the entry, its content checked; a damaged one is removed, and None is returned.

    Args:
        place: what `entry` gave, without a suffix.
    """
    with contextlib.suppress(OSError):
        for path in place.parent.glob(f"{place.name}-*{suffix}"):
            if path.is_file() and path.name == f"{place.name}-{digest(path)}{suffix}":
                os.utime(path)
                return path
            _remove(path)
    return None


def keep(written: Path, place: Path, suffix: str) -> None:
    """Make a finished scratch file the entry of one file that `find` finds; where that fails nothing is kept."""
    try:
        publish(written, place.with_name(f"{place.name}-{digest(written)}{suffix}"))
    except OSError:
        _remove(written)


def room(kind: str, *key: str, size: int) -> Path | None:
    """The folder of an entry of several files that are used together, made if it is not there.

    Nothing makes room for it yet: `settle` does, once its files are known to be what they should be.

    Args:
        size: bytes that the files will take in all.

    Returns:
        None where there is no cache folder, it cannot be written, that much is never kept, or a tenth of the disk would
        not stay free.
    """
    path = entry(kind, *key)
    if path is None or size > LIMIT_BYTES:
        return None
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        disk = shutil.disk_usage(path)
        fits = disk.free - (size - _size(path)) >= min(disk.total // 10, SPARED_BYTES)
    except OSError:
        return None
    return path if fits and os.access(path, os.W_OK) else None


def settle(path: Path) -> None:
    """Let older entries of its kind make room for an entry that `room` gave, and whose files are there now."""
    with contextlib.suppress(OSError):
        _make_room(path.parent, path)


def scratch(path: Path) -> Path | None:
    """A free name beside an entry to write to before `publish` or `keep`; None where the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return path.parent / f"{SCRATCH}{os.urandom(8).hex()}{path.suffix}" if os.access(path.parent, os.W_OK) else None


def publish(written: Path, path: Path) -> None:
    """Make a finished scratch file or folder the entry in one step, or drop it where that fails; older entries make
    room.
    """
    try:
        written.replace(path)
        _make_room(path.parent)
    except OSError:
        _remove(written)


def _make_room(kind: Path, spared: Path | None = None) -> None:
    """Remove the least recently used entries of a kind beyond the limit, but for the spared one and those in use; and
    what killed runs left.
    """
    root = folder()
    if root is None or kind.parent != root:
        return  # no place of ours: a temporary folder lies among other people's files
    now = time.time()
    found = sorted(((p.stat().st_mtime, p) for p in kind.iterdir()), reverse=True)
    total = 0
    for used, path in found:
        total += _size(path)
        abandoned = path.name.startswith(SCRATCH) and now - used > ABANDONED_S
        if abandoned or (total > LIMIT_BYTES and path != spared and now - used > IN_USE_S):
            _remove(path)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(p.stat().st_size for p in files if p.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
