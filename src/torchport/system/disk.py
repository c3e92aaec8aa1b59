"""Writing to the user's disk: files whole or not at all, and what to say when there is no room or no permission."""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk says into an OutputError that names the output."""
    try:
        yield
    except OSError as exc:
        if exc.errno in FULL:
            raise full(path) from exc
        raise OutputError(
            f"cannot write {path.name or path}: {exc.strerror or exc}", "choose another output; nothing was changed"
        ) from exc


def need_empty(folder: Path) -> None:
    """See that a folder can be filled: it is not there, or empty.

    Raises:
        OutputError: it is something else.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder.name} exists and is not an empty folder", "choose another -o")


def full(path: Path) -> OutputError:
    """The error of a disk without room for that output."""
    return OutputError(
        f"cannot write {path.name}: the disk is full", "free some space, or choose another output; nothing was changed"
    )


def open_regular(path: Path, *, follow: bool = True) -> BinaryIO:
    """A regular file opened for reading: a FIFO or a device is never waited for.

    Args:
        follow: whether the path may be a link; its folders may.

    Raises:
        OSError: it cannot be read, is something else than a file, or is a link.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Write a file whole or not at all.

    Raises:
        OutputError: the disk is full, the folder is missing or may not be written.
    """
    with writing(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o644)  # mkstemp's own mode keeps everybody else out
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise


PREFIX = "torchport-run-"
"""How temporary folders begin; each is locked by the process that made it, as long as that lives."""

FRESH_S = 60
"""How old a folder is, in seconds, before its lock is looked at: it is made first and locked then."""


@contextlib.contextmanager
def temporary() -> Iterator[Path]:
    """A new folder that is gone when the block ends; what killed runs left of such folders goes as well."""
    _sweep_abandoned()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name, _locked(Path(name)):
        yield Path(name)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, where the system has such locks."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network disks have none
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@functools.cache
def _sweep_abandoned() -> None:
    """Remove temporary folders whose process is gone, once a process."""
    if sys.platform == "win32":
        return
    import fcntl

    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or time.time() - found.st_mtime < FRESH_S:
                continue
            handle = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


_scratch: list[tuple[int, Path]] = []


def scratch() -> Path:
    """A new folder that is gone when this process ends."""
    if not _scratch:
        atexit.register(sweep)
    folder = Path(tempfile.mkdtemp(prefix="torchport-"))
    _scratch.append((os.getpid(), folder))
    return folder


def sweep() -> None:
    """Remove the scratch folders of this process; for whoever ends it without Python's own end. A forked child leaves
    its parent's alone.
    """
    for owner, folder in _scratch:
        if owner == os.getpid():
            shutil.rmtree(folder, ignore_errors=True)
