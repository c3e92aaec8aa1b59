"""`torchport verify`: every file hashed, every variant that can run here held against the golden vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from .. import isolate
from ..bundle import Bundle, Variant, trust
from ..errors import MissingDependency, TorchportError
from ..targets import targets
from ..tasks import Plan, tasks
from ..types import PLAIN, Value
from .examine import Allowed, Examined, examine
from .traces import Trace, load


class VariantVerdict(Value, frozen=True):
    """One row of `verify --json`."""

    id: str
    status: Literal["ok", "failed", "absent"]
    max_rel: float | None = None
    snr_db: float | None = None
    reason: str | None = None


class Verdict(Value, frozen=True):
    """The document of `verify --json`: `ok` = none failed and at least one is ok; `complete` = every variant was checked."""

    ok: bool
    variants: tuple[VariantVerdict, ...]
    complete: bool = True


def plan_of(bundle: Bundle) -> Plan:
    """The chain that a Bundle describes."""
    manifest = bundle.manifest
    return Plan(tasks.need(manifest.task.name), bundle.facts(), manifest.steps, manifest.graphs)


def golden_of(bundle: Bundle, recipe: str = PLAIN) -> list[Trace]:
    """The golden vectors of the model as trained, or of what recipes made of it; empty where none were kept."""
    return [one for golden in bundle.manifest.golden if golden.recipe == recipe for one in load(bundle.file(golden.path), golden.items, golden.labels)]


def verify(bundle: Bundle, *, trusted: bool = False, progress: Callable[[str], None] = lambda _: None) -> Verdict:
    """Hash every file, then check every variant.

    Raises:
        BundleError: a file is damaged.
    """
    bundle.check_all()
    plan = plan_of(bundle)
    golden = {one.recipe: golden_of(bundle, one.recipe) for one in bundle.manifest.golden}
    rows = []
    for variant in bundle.manifest.variants:
        progress(variant.id)
        rows.append(_row(bundle, variant, plan, golden.get(variant.golden, []), trusted))
    ok = any(r.status == "ok" for r in rows) and not any(r.status == "failed" for r in rows)
    return Verdict(ok=ok, variants=tuple(rows), complete=not any(r.status == "absent" for r in rows))


def _row(bundle: Bundle, variant: Variant, plan: Plan, golden: list[Trace], trusted: bool) -> VariantVerdict:
    try:
        target = targets.need(variant.artifact.target)
        trust.require(bundle, target, variant.id, trusted)
        state = isolate.call(target.available, what=f"loading {target.name}")
        if state.status != "ok":
            raise MissingDependency(f"{state.reason}", targets.install_hint(target.name))
    except TorchportError as exc:
        return VariantVerdict(id=variant.id, status="absent", reason=str(exc))
    folder = bundle.variant_folder(variant, variant.artifact.graphs)
    try:
        examined: Examined = isolate.call(_examine, variant, folder, plan, golden, what=variant.id)
    except TorchportError as exc:
        return VariantVerdict(id=variant.id, status="failed", reason=str(exc))
    parity = examined.parity
    if not golden:
        return VariantVerdict(id=variant.id, status="ok", reason="opens; no golden vectors were kept to compare with")
    reason = None if parity.ok else f"{parity.stage}: {parity.reason}"
    return VariantVerdict(id=variant.id, status="ok" if parity.ok else "failed", max_rel=parity.max_rel, snr_db=parity.snr_db, reason=reason)


def _examine(variant: Variant, folder: Path, plan: Plan, golden: list[Trace]) -> Examined:
    return examine(targets.need(variant.artifact.target), variant.artifact, folder, plan, golden, [], Allowed(variant.tolerance, variant.least_db))
