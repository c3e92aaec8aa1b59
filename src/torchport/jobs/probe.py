"""What really runs when each variant of a Bundle is opened here, and what is not as it was when it was chosen."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ..bundle import Bundle
from ..errors import MissingDependency, TorchportError
from ..feed import Arrays, is_batched
from ..figures import milliseconds
from ..predict import Predictor
from ..system import isolate
from ..targets import Runner
from ..targets.shared.survey import VariantFindings
from ..tasks.pipeline import Pipeline
from ..types import PLAIN
from ..verification.check import golden_of

CALLS = 5
SLOWER = 1.2
"""How much more time than its floating-point parent a quantised variant may take before that is a finding."""

LOOSE = 5e-2
"""Greatest difference between a batch and its items where the runtime computes with integers and states none."""


def probe(path: Path, *, trusted: bool = False, tell: Callable[[str], None] = lambda _: None) -> list[VariantFindings]:
    """Every variant opened in a child process, with what its runtime says of itself.

    Args:
        trusted: also those that can run code of whoever made the Bundle.

    Raises:
        BundleError: it is no Bundle.
    """
    with Bundle(path) as bundle:
        ids = [variant.id for variant in bundle.manifest.variants]
        floats = {
            one.id: f"{one.artifact.target}-{PLAIN}"
            for one in bundle.manifest.variants
            if "int" in one.artifact.precision
        }
    rows = []
    for one in ids:
        tell(one)
        try:
            rows.append(isolate.call(_probed, path, one, trusted, what=one))
        except TorchportError as exc:
            absent = isinstance(exc, MissingDependency)
            rows.append(VariantFindings(id=one, status="absent" if absent else "failed", reason=exc.line))
    by_id = {row.id: row for row in rows}
    return [_compared(row, by_id.get(floats.get(row.id, ""))) for row in rows]


def _probed(path: Path, variant: str, trusted: bool) -> VariantFindings:
    # the pool of threads that PyTorch has in the parent does not survive the fork
    threads = 1 if "torch" in sys.modules else None
    with Predictor(path, variant=variant, trust=trusted, threads=threads) as predictor:
        pipeline = predictor.pipeline
        runners = {name: one for name, one in pipeline.runners.items() if isinstance(one, Runner)}
        feeds = {name: _feeds(predictor, name) for name in runners}
        most = predictor.variant.tolerance or LOOSE
        found = [
            text
            for name, runner in runners.items()
            if feeds[name] and (text := _unlike(name, runner, feeds[name], most)) is not None
        ]
        return VariantFindings(
            id=variant,
            status="ok",
            used={name: one.used for name, one in runners.items()},
            latency_ms=_time(pipeline, {name: one[0] for name, one in feeds.items() if one}),
            findings=(*predictor.findings, *found),
        )


def _feeds(predictor: Predictor, graph: str) -> list[Arrays]:
    """What a graph was fed for each golden item; empty where a host step drives it."""
    plan = predictor.pipeline.plan
    values = [one.host for one in golden_of(predictor.bundle, predictor.variant.golden)]
    return [feed for feed in (plan.feed(graph, one) for one in values) if feed]


def _unlike(name: str, runner: Runner, feeds: Sequence[Arrays], most: float) -> str | None:
    """That a batch is not answered as its items are, in words; None where it is, or the graph takes no batches."""
    specs = (*runner.signature.inputs, *runner.signature.outputs)
    if not all(is_batched(spec) for spec in specs):
        return None
    alike = [feed for feed in feeds if all(feed[key].shape == feeds[0][key].shape for key in feed)][:3]
    alike = alike if len(alike) > 1 else [*alike, *alike]
    single = [runner.run(feed) for feed in alike]
    together = runner.run({key: np.concatenate([feed[key] for feed in alike]) for key in alike[0]})
    for key, got in together.items():
        wanted = np.concatenate([one[key] for one in single])
        if got.shape != wanted.shape:
            return (
                f"graph {name} answers a batch of {len(alike)} with other shapes than single items: send items singly"
            )
        largest = float(np.abs(wanted).max(initial=0)) or 1.0
        error = float(np.abs(got.astype(np.float64) - wanted).max(initial=0)) / largest
        if error > most:
            return (
                f"graph {name} answers a batch of {len(alike)} unlike its items, by {error:.1e} of the largest number: "
                "send items singly, or use another variant"
            )
    return None


def _time(pipeline: Pipeline, feeds: Mapping[str, Arrays]) -> float | None:
    """Median milliseconds of one call of each graph, together."""
    taken = []
    for _ in range(CALLS if feeds else 0):
        start = time.perf_counter()
        for name, feed in feeds.items():
            pipeline.call(name, feed)
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken[1:]) if taken else None


def _compared(row: VariantFindings, parent: VariantFindings | None) -> VariantFindings:
    """The row, with a finding where its floating-point parent is the faster one here."""
    if parent is None or not row.latency_ms or not parent.latency_ms or row.latency_ms < SLOWER * parent.latency_ms:
        return row
    text = (
        f"{milliseconds(row.latency_ms)} a call, and {parent.id} takes {milliseconds(parent.latency_ms)}: here the "
        f"floating-point parent is the faster one; use --variant {parent.id}, or let `torchport bench` measure"
    )
    return msgspec.structs.replace(row, findings=(*row.findings, text))
