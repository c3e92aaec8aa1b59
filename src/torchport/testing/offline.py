"""Whether work keeps to this machine: a process that is about to do it is watched, for as long as it lives.

On Linux the kernel ends the process, and every process that it starts, as soon as one opens an internet socket, in
native code too; of a started process that is seen where whoever started it minds its end. Elsewhere only Python's own
sockets are seen. An installer is seen where Python starts it, and where native code or a shell finds `pip` or `uv` by
the path; one that native code starts by its whole name is not.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ExportError, TorchportError
from ..system import isolate

LIMIT_S = 600.0

_INTERNET = (2, 10)
"""AF_INET and AF_INET6."""

_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Machine -> the kernel's number of its architecture, and of the system call `socket`."""

_INSTALLER = re.compile(r"(?:^|[\s/'\"])(?:pip[\d.]*|uv)(?:['\"\s,]|$)")
_STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system")
_CALLS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def outside(work: Callable[[], object], folder: Path) -> list[str]:
    """What `work` does beyond this machine, run in a child: one line each, none where it keeps to itself.

    Args:
        folder: an empty folder, for traps.

    Raises:
        TorchportError: what the work raised.
    """
    try:
        found: list[str] = isolate.call(_watched, work, folder, limit_s=LIMIT_S, what="the watched work")
    except ExportError as exc:
        if "SIGSYS" not in exc.message:
            raise
        return ["an internet socket was opened"]
    return found


def _watched(work: Callable[[], object], folder: Path) -> list[str]:
    seen: list[str] = []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CALLS and isinstance(arguments[-1], tuple):
            seen.append(f"{event} {arguments[-1]}")
        elif event in _CALLS:
            seen.append(f"{event} {arguments[0]}")
        elif event in _STARTS and _INSTALLER.search(text := " ".join(map(str, arguments[:2]))):
            seen.append(f"{event} {text}")

    marks = _lay_traps(folder)
    sys.addaudithook(hear)
    _forbid_sockets()
    try:
        work()
    except TorchportError:
        if not seen:
            raise
    return [*seen, *(f"{mark.name} was started" for mark in marks.iterdir())]


def _lay_traps(folder: Path) -> Path:
    """Put installers that only leave a mark first on the path; the folder of the marks."""
    marks, traps = folder / "marks", folder / "traps"
    for place in (marks, traps):
        place.mkdir(parents=True)
    for name in ("pip", "pip3", "uv"):
        trap = traps / name
        trap.write_text(f"#!/bin/sh\n: > '{marks / name}'\n")
        trap.chmod(0o755)
    os.environ["PATH"] = f"{traps}{os.pathsep}{os.environ.get('PATH', '')}"
    return marks


def _forbid_sockets() -> bool:
    """Have the kernel end this process when it opens an internet socket; False where it does not do so."""
    known = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or known is None:
        return False
    architecture, call = known
    load, equal, answer = 0x20, 0x15, 0x06  # of the kernel's small language: BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    allow, kill = 0x7FFF0000, 0x80000000
    number_at, architecture_at, first_argument_at = 0, 4, 16
    program = [
        (load, 0, 0, architecture_at),
        (equal, 0, 5, architecture),
        (load, 0, 0, number_at),
        (equal, 0, 3, call),
        (load, 0, 0, first_argument_at),
        (equal, 2, 0, _INTERNET[0]),
        (equal, 1, 0, _INTERNET[1]),
        (answer, 0, 0, allow),
        (answer, 0, 0, kill),
    ]
    code = b"".join(struct.pack("HBBI", *one) for one in program)
    held = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(held)))
    prctl, no_new_rights, watch, by_program = ctypes.CDLL(None).prctl, 38, 22, 2
    done: list[int] = [prctl(no_new_rights, 1, 0, 0, 0), prctl(watch, by_program, ctypes.byref(header), 0, 0)]
    return done == [0, 0]
