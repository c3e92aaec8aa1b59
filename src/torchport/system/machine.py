"""The machine that figures were taken on: its CPU, cores, memory and system; never its name, its user or a path.

Linux tells everything; macOS and Windows less. What the system does not tell is None or empty.
"""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from ..types import BuiltFor, Value

# The instruction sets that decide how fast a network runs here, by the names that Linux and macOS give their flags.
_INSTRUCTION_SETS = {
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "avx_vnni": "avx_vnni",
    "avx512f": "avx512f",
    "avx512bw": "avx512bw",
    "avx512cd": "avx512cd",
    "avx512dq": "avx512dq",
    "avx512vl": "avx512vl",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx512_fp16": "avx512_fp16",
    "amx_tile": "amx_tile",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
    "asimd": "neon",
    "asimdhp": "neon_fp16",
    "asimddp": "neon_dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
    "sme": "sme",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.neon": "neon",
    "hw.optional.arm.FEAT_FP16": "neon_fp16",
    "hw.optional.arm.FEAT_DotProd": "neon_dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
}


class Machine(Value, frozen=True):
    """What a figure needs beside it.

    Attributes:
        cpu: model name as the system gives it.
        architecture: `x86_64`, `aarch64`, `arm64`, ...
        physical_cores, logical_cores: of the whole machine.
        usable_cores: what this process may use, by affinity and container quota.
        instruction_sets: those that matter to a network.
        memory_bytes: physical memory.
        os, python: name and version.
    """

    cpu: str
    architecture: str
    physical_cores: int | None
    logical_cores: int
    usable_cores: int
    instruction_sets: tuple[str, ...]
    memory_bytes: int | None
    os: str
    python: str


OWN_LOAD = 1.0
"""What a deploy itself adds to the load average while it converts and compares, in processes."""


def busy() -> str | None:
    """That others use this machine, in words; None where they do not, or the system does not tell."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has no load average
        return None
    cores = os.cpu_count() or 1
    if load <= OWN_LOAD + cores / 2:
        return None
    return (
        f"the machine is busy: a load average of {load:.1f} on {cores} cores; latencies are greater and less sure than "
        "on a quiet one"
    )


@cache
def describe() -> Machine:
    """This machine."""
    mac = _sysctl() if platform.system() == "Darwin" else {}
    info = _cpuinfo(Path("/proc/cpuinfo"))
    flags = (info.get("flags") or info.get("Features") or "").split() + [
        key for key, value in mac.items() if value == "1"
    ]
    physical = mac.get("hw.physicalcpu")
    memory = mac.get("hw.memsize")
    return Machine(
        cpu=info.get("model name") or mac.get("machdep.cpu.brand_string") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        physical_cores=int(physical) if physical else _physical_cores(Path("/sys/devices/system/cpu")),
        logical_cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        instruction_sets=tuple(dict.fromkeys(name for flag, name in _INSTRUCTION_SETS.items() if flag in flags)),
        memory_bytes=int(memory) if memory else _physical_memory(),
        os=_system(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


_SAME = {"arm64": "aarch64", "amd64": "x86_64"}


def system() -> str:
    """This system, by the names of `BuiltFor`: `linux`, `darwin`, `windows`, `android`, `ios`."""
    return {"iphoneos": "ios", "ipados": "ios"}.get(platform.system().lower(), platform.system().lower())


def lacks(built_for: BuiltFor | None) -> str | None:
    """What this machine lacks of those that an artefact was built for, in words; None where it lacks nothing."""
    if built_for is None:
        return None
    here = describe()
    if built_for.systems and system() not in built_for.systems:
        return f"it runs on {' and '.join(built_for.systems)}, this is {system()}"
    if built_for.architectures and known_architecture(here.architecture) not in map(
        known_architecture, built_for.architectures
    ):
        return f"it was built for {' and '.join(built_for.architectures)}, this is {here.architecture}"
    missing = sorted(set(built_for.instruction_sets) - set(here.instruction_sets))
    return f"it was built for a CPU with {', '.join(missing)}, which this one lacks" if missing else None


def compiler() -> str:
    """The compiler of C++ that is asked for: what `CXX` names, else the system's usual one; it need not be there."""
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def known_architecture(architecture: str) -> str:
    """One name of those that systems give the same architecture: `x86_64`, `aarch64`."""
    return _SAME.get(architecture.lower(), architecture.lower())


def release(version: str) -> tuple[int, ...]:
    """The first two numbers of a version, which say whether two releases may differ in more than repairs."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def threads() -> int:
    """How many threads a runtime is given that nobody named a number for: a physical core each, of those that this
    process may keep busy.
    """
    return min(usable_cores(), describe().physical_cores or usable_cores())


def usable_cores(root: Path = Path("/")) -> int:
    """How many cores this process may keep busy: the least of its affinity and its container's quota, at least 1.

    Args:
        root: where `proc` and `sys` are found.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(root)
    return affinity if quota is None else max(1, min(affinity, math.floor(quota)))


def _quota(root: Path) -> float | None:
    """Least CPU quota, in cores, of this process's control group and of those above it (version 2 and version 1)."""
    quotas = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / controllers
        inside = base / group.strip("/")
        # In a container the group's own path may not be visible: its files then stand at the mount point.
        for folder in (inside, *inside.parents):
            if controllers:
                limit, period = _read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()
            else:
                limit, _, period = _read(folder / "cpu.max").strip().partition(" ")
            if limit.isdigit() and period.isdigit() and int(period):
                quotas.append(int(limit) / int(period))
            if folder == base:
                break
    return min(quotas, default=None)


def _cpuinfo(path: Path) -> dict[str, str]:
    """The first processor's lines of `/proc/cpuinfo`."""
    lines = (line.partition(":") for line in _read(path).split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _physical_cores(cpus: Path) -> int | None:
    siblings = {_read(path) for path in cpus.glob("cpu[0-9]*/topology/thread_siblings_list")}
    return len(siblings) or None


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def _system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = f"macOS {platform.mac_ver()[0]}" if platform.system() == "Darwin" else platform.system()
    return f"{name}, {platform.system()} {platform.release()}"


def _sysctl() -> dict[str, str]:
    """What macOS tells of its CPU and memory."""
    try:
        said = subprocess.run(
            ["/usr/sbin/sysctl", "hw", "machdep.cpu"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {key: value.strip() for key, value in re.findall(r"^([\w.]+): (.*)$", said, re.MULTILINE)}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
