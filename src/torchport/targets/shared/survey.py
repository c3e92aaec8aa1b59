"""What `targets` and `doctor` print of this machine."""

from __future__ import annotations

from typing import Literal

from ...system.machine import Machine
from ...types import Used, Value


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


class VariantFindings(Value, frozen=True):
    """What `doctor BUNDLE` found of one variant.

    Attributes:
        used: graph -> what really runs, read back from the runtime.
        latency_ms: median of a few calls on a golden item; a hint, not a benchmark.
        findings: what is not as it was when the variant was chosen, a line each with what to do about it.
        reason: why an absent or failed one does not run.
    """

    id: str
    status: Literal["ok", "absent", "failed"]
    used: dict[str, Used] = {}
    latency_ms: float | None = None
    findings: tuple[str, ...] = ()
    reason: str | None = None


class Findings(Value, frozen=True):
    """What `doctor` prints: the machine, its targets, and what to mend, a line each; of a Bundle also its variants."""

    machine: Machine
    targets: tuple[TargetRow, ...]
    findings: tuple[str, ...]
    variants: tuple[VariantFindings, ...] = ()
