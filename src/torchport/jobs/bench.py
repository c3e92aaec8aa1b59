"""`torchport bench`: time every variant of a Bundle on this machine, beside the eager reference."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ..bundle import Bundle, trust
from ..choice import budget as budgets
from ..choice.choose import choose
from ..errors import TorchportError
from ..system import machine
from ..system.disk import temporary
from ..targets import targets
from ..targets.shared import here
from ..timing.candidates import EAGER, Opened, doubts, eager_reference, quick_by_default, time_all, timed, workload
from ..types import Candidate, Choice, Reference
from ..verification import golden_of
from ..verification.check import plan_of


def bench(
    bundle: Bundle,
    *,
    profile: str = "python",
    trusted: bool = False,
    quick: bool | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Choice, Reference]:
    """Measure again; accuracy, parity and sizes are those proven when the Bundle was made.

    Args:
        quick: time every variant for a moment only; None is as the environment says.

    Returns:
        A Choice whose `chosen` is the Bundle's recorded one, with the latencies of now, and the eager reference,
        measured now where torch and `reference/` are there and may be run.
    """
    manifest = bundle.manifest
    recorded, opened, absent = _open(bundle, trusted)
    eager = _reference(bundle, trusted)
    busy = machine.busy()
    with temporary() as scratch:
        work = workload(plan_of(bundle), next(iter(golden_of(bundle)), None), scratch)
        found = time_all(
            [*opened, *([eager] if eager else [])], work, tell, quick=quick_by_default() if quick is None else quick
        )
    rows = [absent.get(v.id) or timed(recorded[v.id], found[v.id]) for v in manifest.variants]
    before = manifest.evidence.reference
    reference = (
        msgspec.structs.replace(before, measured="at deploy")
        if before
        else Reference(latency_ms=None, accuracy=None, size_bytes=None)
    )
    if eager and any(m.timing for m in found[EAGER].values()):
        reference = eager_reference(
            found[EAGER], before.accuracy if before else None, before.size_bytes if before else None
        )
        reference = msgspec.structs.replace(reference, test_accuracy=before.test_accuracy if before else None)
    now = choose(rows, reference, budgets.parse(manifest.budget) if manifest.budget else budgets.default(), profile)
    marked = tuple(_mark(c, manifest.chosen) for c in now.candidates)
    why = (
        now.why
        if now.chosen == manifest.chosen
        else f"recorded when the Bundle was made; on this machine {now.chosen} would be chosen: {now.why}"
    )
    warnings = doubts(busy, marked, manifest.chosen_for)
    return msgspec.structs.replace(
        now, chosen=manifest.chosen, chosen_for=manifest.chosen_for, candidates=marked, why=why, warnings=warnings
    ), reference


def _open(bundle: Bundle, trusted: bool) -> tuple[dict[str, Candidate], list[Opened], dict[str, Candidate]]:
    """The recorded rows, the variants that can be timed here, and the rows of those that cannot."""
    manifest = bundle.manifest
    recorded = {c.id: c for c in manifest.evidence.candidates}
    opened, absent = [], dict[str, Candidate]()
    for variant in manifest.variants:
        base = recorded.get(variant.id) or Candidate(
            id=variant.id,
            target=variant.artifact.target,
            recipe=variant.artifact.recipe,
            precision=variant.artifact.precision,
        )
        base = msgspec.structs.replace(base, profiles=variant.profiles)
        try:
            target = targets.need(variant.artifact.target)
            trust.require(bundle, target, variant.id, trusted)
            here.require(target, variant.artifact)
        except TorchportError as exc:
            absent[variant.id] = msgspec.structs.replace(
                base, status="absent", reason=str(exc), latency_ms=None, by_threads={}, memory_bytes=None
            )
            continue
        recorded[variant.id] = msgspec.structs.replace(base, status="ok", reason=None)
        opened.append(
            Opened(
                variant.id, variant.artifact, bundle.variant_folder(variant, variant.artifact.graphs), variant.profiles
            )
        )
    return recorded, opened, absent


def _mark(candidate: Candidate, chosen: str | None) -> Candidate:
    if candidate.status not in ("ok", "chosen"):
        return candidate
    return msgspec.structs.replace(candidate, status="chosen" if candidate.id == chosen else "ok")


def _reference(bundle: Bundle, trusted: bool) -> Opened | None:
    artifact = bundle.manifest.reference
    if artifact is None:
        return None
    try:
        target = targets.need(artifact.target)
        trust.require(bundle, target, EAGER, trusted)
        here.require(target, artifact)
    except TorchportError:
        return None
    return Opened(EAGER, artifact, bundle.reference_folder())
