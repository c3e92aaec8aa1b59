"""The peak memory of this process, as Linux counts it; None on systems that do not tell.

Pages are counted whole however many processes share them. For a process alone that is its proportional set size, and
it stays so while other children, which map the same libraries, come and go.
"""

from __future__ import annotations

import re
from pathlib import Path

_SELF = Path("/proc/self")


def begin() -> int | None:
    """Forget the peak so far; the bytes resident now, or None where the peak cannot be reset."""
    try:
        (_SELF / "clear_refs").write_text("5")
    except OSError:
        return None
    return _field("VmRSS")


def peak() -> int | None:
    """The most bytes that were resident since `begin`."""
    return _field("VmHWM")


def left_share() -> float:
    """The share of the machine's memory that is still available; 1 where the system does not tell."""
    try:
        said = dict(re.findall(r"^(\w+):\s+(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE))
        return int(said["MemAvailable"]) / int(said["MemTotal"])
    except (OSError, KeyError):
        return 1.0


def _field(name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", (_SELF / "status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
