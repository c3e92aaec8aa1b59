"""`torchport verify`: every file hashed, every variant that can run here held against the golden vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from ..bundle import Bundle, Variant, trust
from ..errors import BundleError, TorchportError
from ..system import isolate
from ..targets import targets
from ..targets.shared import here
from ..tasks import Pipeline, Plan, tasks
from ..tasks.plan import made
from ..types import PLAIN, FailedAt, Parity, Value
from .examine import CHAIN_TOLERANCE, Allowed, Examined, Known, examine
from .parity import Tally
from .traces import Trace, load


class VariantVerdict(Value, frozen=True):
    """One row of `verify --json`.

    Attributes:
        declined: graph that the variant lacks -> why; the host step alone answers for it.
        failed_at: where a failed row failed.
    """

    id: str
    status: Literal["ok", "failed", "absent"]
    max_rel: float | None = None
    snr_db: float | None = None
    reason: str | None = None
    declined: dict[str, str] = {}
    failed_at: FailedAt | None = None


class Verdict(Value, frozen=True):
    """The document of `verify --json`: `ok` = none failed and at least one is ok; `complete` = every variant was
    checked.
    """

    ok: bool
    variants: tuple[VariantVerdict, ...]
    complete: bool = True


def plan_of(bundle: Bundle) -> Plan:
    """The chain that a Bundle describes."""
    manifest = bundle.manifest
    return Plan(tasks.need(manifest.task.name), bundle.facts(), manifest.steps, manifest.graphs)


def golden_of(bundle: Bundle, recipe: str = PLAIN) -> list[Trace]:
    """The golden vectors of the model as trained, or of what recipes made of it; empty where none were kept."""
    found = [
        one
        for golden in bundle.manifest.golden
        if golden.recipe == recipe
        for one in load(bundle.file(golden.path), golden.items, golden.labels)
    ]
    wanted = made(bundle.manifest.steps)
    for one in found:
        if missing := sorted(wanted - one.host.keys()):
            raise BundleError(
                f"{bundle.name}: the golden vectors of {one.name[:60]!r} lack '{missing[0]}'",
                "ask for the Bundle again",
            )
    return found


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


def check_pipeline(pipeline: Pipeline, bundle: Bundle, variant: Variant, most: int | None = None) -> Parity:
    """Golden vectors through graphs that are open already, such as a server's: the chain as it will answer, from raw
    bytes on.

    Args:
        most: golden items to answer; None takes all.
    """
    allowed, tally = Allowed(variant.tolerance, variant.least_db), Tally()
    tolerance, failed = max(allowed.max_rel, CHAIN_TOLERANCE), None
    for one in golden_of(bundle, variant.golden)[:most]:
        reference = one.graph if pipeline.in_graph else one.host
        values = pipeline.answer(reference["raw"])
        for step, _ in pipeline.plan.fed(values, pipeline.runners):
            for own, name in step.outputs.items() if pipeline.uses_graph(step) else ():
                tally.add(step.name, own, reference[name], values[name], tolerance, step.levels)
        if variant.tolerance is not None and not pipeline.task.agree(values["result"], reference["result"]):
            failed = failed or f"a different answer from the reference's on {one.name}"
    return (
        tally.parity(stage="raw to result", reason=failed, least_db=allowed.least_db)
        if failed
        else tally.parity(least_db=allowed.least_db)
    )


def _row(bundle: Bundle, variant: Variant, plan: Plan, golden: list[Trace], trusted: bool) -> VariantVerdict:
    row = VariantVerdict(id=variant.id, status="ok", declined=variant.artifact.declined)
    try:
        target = targets.need(variant.artifact.target)
        trust.require(bundle, target, variant.id, trusted)
        state = isolate.call(target.available, what=f"loading {target.name}")
        here.require(target, variant.artifact, state)
    except TorchportError as exc:
        return replace(row, status="absent", reason=str(exc))
    folder = bundle.variant_folder(variant, variant.artifact.graphs)
    try:
        examined: Examined = isolate.call(_examine, variant, folder, plan, golden, what=variant.id)
    except TorchportError as exc:
        return replace(row, status="failed", reason=str(exc), failed_at=exc.failed_at or "run")
    if not golden:
        return replace(row, reason="opens; no golden vectors were kept to compare with")
    parity = examined.parity
    row = replace(row, max_rel=parity.max_rel, snr_db=parity.snr_db)
    if parity.ok:
        return row
    return replace(row, status="failed", reason=f"{parity.stage}: {parity.reason}", failed_at="mismatch")


def _examine(variant: Variant, folder: Path, plan: Plan, golden: list[Trace]) -> Examined:
    return examine(
        targets.need(variant.artifact.target),
        variant.artifact,
        folder,
        plan,
        Known(golden),
        [],
        Allowed(variant.tolerance, variant.least_db),
    )
