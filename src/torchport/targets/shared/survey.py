"""What `targets` and `doctor` print of this machine."""

from __future__ import annotations

from typing import Literal

from ...system.machine import Machine
from ...types import Value


class TargetRow(Value, frozen=True):
    """One target: whether it works here, and where not, why and what installs it; `profiles` are where its artefacts
    run.
    """

    name: str
    status: Literal["ok", "absent", "broken"]
    version: str | None
    reason: str | None
    install: str
    about: str
    precisions: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()


class TargetsDocument(Value, frozen=True):
    """What `targets` prints."""

    targets: tuple[TargetRow, ...]


class Findings(Value, frozen=True):
    """What `doctor` prints: the machine, its targets, and what to mend, a line each."""

    machine: Machine
    targets: tuple[TargetRow, ...]
    findings: tuple[str, ...]
