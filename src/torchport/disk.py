"""Writing to the user's disk: files whole or not at all, and what to say when there is no room or no permission."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import OutputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk says into an OutputError that names the output."""
    try:
        yield
    except OSError as exc:
        if exc.errno in FULL:
            raise full(path) from exc
        raise OutputError(f"cannot write {path.name or path}: {exc.strerror or exc}", "choose another output; nothing was changed") from exc


def full(path: Path) -> OutputError:
    """The error of a disk without room for that output."""
    return OutputError(f"cannot write {path.name}: the disk is full", "free some space, or choose another output; nothing was changed")


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


_scratch: list[tuple[int, Path]] = []


def scratch() -> Path:
    """A new folder that is gone when this process ends."""
    if not _scratch:
        atexit.register(sweep)
    folder = Path(tempfile.mkdtemp(prefix="torchport-"))
    _scratch.append((os.getpid(), folder))
    return folder


def sweep() -> None:
    """Remove the scratch folders of this process; for whoever ends it without Python's own end. A forked child leaves its parent's alone."""
    for owner, folder in _scratch:
        if owner == os.getpid():
            shutil.rmtree(folder, ignore_errors=True)
