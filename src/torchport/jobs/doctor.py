"""What this machine has, which targets work here, and what stands in the way."""

from __future__ import annotations

import os

from ..errors import TorchportError
from ..system import cache, isolate, machine
from ..targets import targets
from ..targets.base import Availability
from ..targets.shared.survey import Findings, TargetRow


def target_rows() -> list[TargetRow]:
    """Every target of the table, probed in a child process, as a broken runtime may crash while it loads: all in one,
    for several load the same libraries; what does not load there is tried once more alone."""
    names = targets.names()
    try:
        together = isolate.call(_probe, names, what="the probe of all targets")
    except TorchportError:
        together = {}
    return [_row(name, together.get(name)) for name in names]


def _probe(names: list[str]) -> dict[str, Availability]:
    return {name: targets.get(name).available() for name in names}


def examine() -> Findings:
    """The machine, the targets, and what to mend, a line each."""
    rows = target_rows()
    findings = [f"{row.name} is {row.status}: {row.reason}; {row.install}" for row in rows if row.status != "ok"]
    usable, logical = machine.usable_cores(), os.cpu_count() or 1
    if usable < logical:
        findings.append(f"this process may use {usable} of {logical} cores: runtimes are given {usable} threads")
    folder = cache.folder()
    if folder is None or not _writable(folder):
        findings.append("the cache folder cannot be written: models open slower; set TORCHPORT_CACHE to a folder")
    return Findings(machine=machine.describe(), targets=tuple(rows), findings=tuple(findings))


def _row(name: str, state: Availability | None) -> TargetRow:
    entry = targets.entries()[name]
    install = targets.install_hint(name)
    try:
        target = targets.get(name)
        if state is None or state.status == "broken":
            state = isolate.call(target.available, what=name)
    except TorchportError as exc:
        return TargetRow(name=name, status="broken", version=None, reason=str(exc), install=install, about=entry.about)
    version = target.version() if state.status == "ok" else None
    return TargetRow(
        name=name,
        status=state.status,
        version=version,
        reason=state.reason,
        install=install,
        about=entry.about,
        precisions=target.precisions,
        profiles=target.profiles,
    )


def _writable(folder: os.PathLike[str]) -> bool:
    from pathlib import Path

    there = Path(folder)
    while not there.exists() and there != there.parent:
        there = there.parent
    return os.access(there, os.W_OK)
