"""Regions of this machine's shared memory that clients name instead of sending tensors; off unless it is allowed.

A region is a file of the system's shared memory, by a name without separators: no client reaches another file by it.
"""

from __future__ import annotations

import io
import os
import re
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput
from .messages import Refused

FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lies on Linux
KEY = re.compile(r"/?[\w][\w.-]{0,200}")


@dataclass(frozen=True)
class Region:
    """A part of shared memory, by its file: a client may shorten what is mapped, and the process would die of it."""

    name: str
    key: str
    offset: int
    byte_size: int
    memory: io.FileIO

    def told(self) -> dict[str, str | int]:
        """As the protocol tells it."""
        return {"name": self.name, "key": self.key, "offset": self.offset, "byte_size": self.byte_size}


class Regions:
    """The regions that clients have registered."""

    def __init__(self, *, allowed: bool) -> None:
        self.allowed = allowed
        self._regions: dict[str, Region] = {}
        self._lock = threading.Lock()

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Map a region.

        Raises:
            Refused: shared memory is not allowed.
            BadInput: the name is taken, or there is no such memory.
        """
        self._need()
        if not KEY.fullmatch(key):
            raise BadInput(f"the key {key[:60]!r} names no shared memory", "it is a name without separators")
        if offset < 0 or byte_size <= 0:
            raise BadInput(f"offset {offset} and byte_size {byte_size} are no part of a region")
        with self._lock:
            if name in self._regions:
                raise BadInput(f"a region '{name[:60]}' is registered already", "unregister it first")
            self._regions[name] = Region(name, key, offset, byte_size, _opened(key, offset + byte_size))

    def unregister(self, name: str = "") -> None:
        """Forget a region, or all of them; one that there is not is forgotten already."""
        with self._lock:  # a request that still reads it keeps its file open
            if name:
                self._regions.pop(name, None)
            else:
                self._regions.clear()

    def status(self, name: str = "") -> list[Region]:
        """The region of that name, or all.

        Raises:
            Refused: 404 where there is none of that name.
        """
        with self._lock:
            if not name:
                return list(self._regions.values())
            if name not in self._regions:
                raise Refused(404, f"there is no region '{name[:60]}'; register it first")
            return [self._regions[name]]

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Bytes of a region, copied: the client may change them while the model runs.

        Raises:
            BadInput: they are not all in the region.
        """
        region = self._part(name, offset, size)
        begin = region.offset + offset
        content = os.pread(region.memory.fileno(), size, begin)
        if len(content) != size:
            raise BadInput(f"the region '{name}' has become shorter")
        return content

    def write(self, name: str, offset: int, most: int, content: bytes) -> None:
        """Put an output into a region.

        Raises:
            BadInput: it does not fit.
        """
        if len(content) > most:
            raise BadInput(f"an output of {len(content):,} bytes does not fit into the {most:,} that were named for it")
        region = self._part(name, offset, len(content))
        begin = region.offset + offset
        if os.fstat(region.memory.fileno()).st_size < begin + len(content):
            raise BadInput(f"the region '{name}' has become shorter")
        os.pwrite(region.memory.fileno(), content, begin)

    def _part(self, name: str, offset: int, size: int) -> Region:
        self._need()
        region = self._regions.get(name)
        if region is None:
            raise BadInput(f"there is no region '{name[:60]}'", "register it first")
        if offset < 0 or size < 0 or offset + size > region.byte_size:
            raise BadInput(f"{size:,} bytes at {offset:,} are not in the region '{name}' of {region.byte_size:,} bytes")
        return region

    def _need(self) -> None:
        if not self.allowed:
            raise Refused(400, "this server takes no shared memory; start it with --shared-memory")


def _opened(key: str, size: int) -> io.FileIO:
    try:
        number = os.open(FOLDER / key.removeprefix("/"), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise BadInput(f"there is no shared memory {key!r}: {exc.strerror}", "create it first") from exc
    memory = io.FileIO(number, "r+")
    about = os.fstat(number)
    if not stat.S_ISREG(about.st_mode) or about.st_size < size:
        raise BadInput(f"the shared memory {key!r} has {about.st_size:,} bytes, and {size:,} are needed")
    return memory
