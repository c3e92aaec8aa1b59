"""`torchport bench`: time every variant of a Bundle on this machine, beside the eager reference."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from . import budget as budgets
from .bundle import Bundle, trust
from .choose import choose
from .errors import MissingDependency, TorchportError
from .measure import EAGER, Opened, eager_reference, time_all, timed, write_feed
from .targets import targets
from .types import Candidate, Choice, Reference, Signature
from .verify import golden_of


def bench(bundle: Bundle, *, profile: str = "python", trusted: bool = False, tell: Callable[[str], None] = lambda _: None) -> tuple[Choice, Reference]:
    """Measure again; accuracy, parity and sizes are those proven when the Bundle was made.

    Returns:
        A Choice whose `chosen` is the Bundle's recorded one, with the latencies of now, and the eager reference, measured
        now where torch and `reference/` are there and may be run.
    """
    manifest = bundle.manifest
    recorded = {c.id: c for c in manifest.evidence.candidates}
    opened, absent = [], dict[str, Candidate]()
    for variant in manifest.variants:
        base = recorded.get(variant.id) or Candidate(id=variant.id, target=variant.artifact.target, recipe=variant.artifact.recipe, precision=variant.artifact.precision)
        base = msgspec.structs.replace(base, profiles=variant.profiles)
        try:
            target = targets.need(variant.artifact.target)
            trust.require(bundle, target, variant.id, trusted)
            if target.available().status != "ok":
                raise MissingDependency(f"{target.available().reason}", targets.install_hint(target.name))
        except TorchportError as exc:
            absent[variant.id] = msgspec.structs.replace(base, status="absent", reason=str(exc), latency_ms=None, by_threads={}, memory_bytes=None)
            continue
        recorded[variant.id] = msgspec.structs.replace(base, status="ok", reason=None)
        opened.append(Opened(variant.id, variant.artifact, bundle.variant_folder(variant, variant.artifact.graphs)))
    eager = _reference(bundle, trusted)
    with tempfile.TemporaryDirectory(prefix="torchport-") as scratch:
        feed = write_feed(Path(scratch), model_feed(bundle))
        found = time_all([*opened, *([eager] if eager else [])], manifest.graphs["model"], feed, tell)
    rows = [absent.get(v.id) or timed(recorded[v.id], found[v.id]) for v in manifest.variants]
    before = manifest.evidence.reference
    reference = msgspec.structs.replace(before, measured="at deploy") if before else Reference(latency_ms=None, accuracy=None, size_bytes=None)
    if eager and any(m.timing for m in found[EAGER].values()):
        reference = eager_reference(found[EAGER], before.accuracy if before else None, before.size_bytes if before else None)
    now = choose(rows, reference, budgets.parse(manifest.budget) if manifest.budget else budgets.default(), profile)
    marked = tuple(_mark(c, manifest.chosen) for c in now.candidates)
    why = now.why if now.chosen == manifest.chosen else f"recorded when the Bundle was made; on this machine {now.chosen} would be chosen: {now.why}"
    return msgspec.structs.replace(now, chosen=manifest.chosen, chosen_for=manifest.chosen_for, candidates=marked, why=why), reference


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
        if target.available().status != "ok":
            return None
    except TorchportError:
        return None
    return Opened(EAGER, artifact, bundle.reference_folder())


def model_feed(bundle: Bundle) -> dict[str, np.ndarray]:
    """The model graph's input of the first golden item, or seeded numbers where no golden vectors were kept."""
    manifest = bundle.manifest
    golden = golden_of(bundle)
    step = next(step for step in manifest.steps if step.graph == "model")
    if golden:
        return {own: golden[0].host[name] for own, name in step.inputs.items()}
    return made_up(manifest.graphs["model"])


def made_up(signature: Signature) -> dict[str, np.ndarray]:
    """Seeded arrays that fit a signature, every dynamic dimension at its smallest sensible size."""
    rng = np.random.default_rng(0)
    feed = {}
    for spec in signature.inputs:
        shape = [d if isinstance(d, int) else 1 if d == "batch" else max(signature.dims[d].min if d in signature.dims else 1, 16) for d in spec.shape]
        kind = np.dtype(spec.dtype).kind
        feed[spec.name] = (rng.standard_normal(shape) if kind == "f" else rng.integers(0, 2, shape)).astype(spec.dtype)
    return feed
