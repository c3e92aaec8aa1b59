"""Open an artefact from disk and hold every stage of it against the reference's traces, then answer the user's items."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError, TorchportError
from ..targets import Runner, Target
from ..targets.base import is_batched
from ..tasks import Item, Pipeline, Plan
from ..types import Artifact, Distance, Parity, Step, Used
from .accuracy import Answered, answered
from .parity import Tally
from .traces import Trace

CHAIN_TOLERANCE = 2e-3
"""Raw bytes to model outputs through exported preprocessing: a pixel may be rounded to the next level."""


@dataclass(frozen=True)
class Examined:
    """What an artefact answered: its parity, one answer an item (None where the item is bad), what ran.

    `distance` is how far it is from the model as trained, where that was asked for.
    """

    parity: Parity
    answers: list[Answered | None]
    used: Used
    distance: Distance | None = None


@dataclass(frozen=True)
class Allowed:
    """How far an artefact may be from its reference.

    Attributes:
        tolerance: greatest `max_rel` of a graph from the same tensor; None where arithmetic is the runtime's own integers.
        least_db: `stage/output` -> least ratio of signal to noise, in dB, for those.
    """

    tolerance: float | None
    least_db: Mapping[str, float] = field(default_factory=dict)

    @property
    def max_rel(self) -> float:
        """The tolerance as a number."""
        return math.inf if self.tolerance is None else self.tolerance


def examine(
    target: Target,
    artifact: Artifact,
    folder: Path,
    plan: Plan,
    traces: Sequence[Trace],
    items: Sequence[Item],
    allowed: Allowed,
    trained: Sequence[Trace] = (),
) -> Examined:
    """Parity on the traces, then the answers for all items.

    Per stage: each exported graph from the reference's own inputs; the whole exported chain from raw bytes; a batch of n
    against n singles, at two batch sizes.

    Args:
        folder: where the artefact lies; it is opened anew from disk.
        allowed: how far it may be from the traces. Where that is not a tolerance, an answer may differ too: how many do
            is the metric's business.
        trained: traces of the model as trained, where `traces` are another's: how far the artefact is from them is told.
    """
    tolerance = allowed.max_rel
    with ExitStack() as stack:
        runners = {name: stack.enter_context(target.open(artifact, folder, plan.signatures[name], name)) for name in artifact.graphs}
        tally = Tally()
        failed: tuple[str, str] | None = None
        for one in traces:
            stages(plan, runners, one, tally, tolerance)
            failed = failed or _chain(plan, runners, one, tally, max(tolerance, CHAIN_TOLERANCE))
        for step in plan.steps:
            if step.graph:
                _batches(runners[step.graph], [{own: one.graph[name] for own, name in step.inputs.items()} for one in traces], tally, tolerance)
        for graph in dict.fromkeys(call.graph for one in traces for call in one.calls):
            first = [next((call.feed for call in one.calls if call.graph == graph), None) for one in traces]
            _batches(runners[graph], [feed for feed in first if feed is not None], tally, tolerance)
        parity = tally.parity(stage=failed[0], reason=failed[1]) if failed else tally.parity(least_db=allowed.least_db)
        answers = [_answer(Pipeline(plan, runners), item) for item in items] if parity.ok else []
        return Examined(parity, answers, runners[plan.main].used, _distance(plan, runners, trained))


def _distance(plan: Plan, runners: Mapping[str, Runner], trained: Sequence[Trace]) -> Distance | None:
    tally = Tally()
    for one in trained:
        stages(plan, runners, one, tally, math.inf)
    found = tally.parity()
    return Distance(max_rel=found.max_rel, snr_db=found.snr_db) if trained else None


def stages(plan: Plan, runners: Mapping[str, Runner], one: Trace, tally: Tally, tolerance: float) -> None:
    """Each exported graph from the reference's own inputs."""
    pipeline = Pipeline(plan, runners, in_graph=True)
    for step in plan.steps:
        if step.graph:
            values = {name: one.graph[name] for name in step.inputs.values()}
            pipeline.take(step, values)
            _compare(step, one.graph, values, tally, step.name, tolerance)
    for call in one.calls:
        for name, got in runners[call.graph].run(call.feed).items():
            tally.add(call.graph, name, call.outputs[name], got, tolerance)


def _chain(plan: Plan, runners: Mapping[str, Runner], one: Trace, tally: Tally, tolerance: float) -> tuple[str, str] | None:
    try:
        values = Pipeline(plan, runners, in_graph=True).answer(one.graph["raw"])
    except RunError as exc:  # such as NaN that a host step refuses
        return "raw to result", f"{exc.message} on {one.name}"
    for step in plan.steps:
        if step.graph == "model":
            _compare(step, one.graph, values, tally, "raw to model", tolerance)
    if math.isfinite(tolerance) and not plan.task.agree(values["result"], one.graph["result"]):
        return "raw to result", f"another answer than the reference on {one.name}"
    return None


def _compare(step: Step, reference: Mapping[str, Any], got: Mapping[str, Any], tally: Tally, stage: str, tolerance: float) -> None:
    for own, name in step.outputs.items():
        tally.add(stage, own, reference[name], got[name], tolerance, step.levels)


def _batches(runner: Runner, feeds: Sequence[Mapping[str, np.ndarray]], tally: Tally, tolerance: float) -> None:
    signature = runner.signature
    if not all(is_batched(spec) for spec in (*signature.inputs, *signature.outputs)) or len({_trailing(feed) for feed in feeds}) != 1:
        return
    feeds = [feed for feed in feeds if all(array.shape[0] == 1 for array in feed.values())][:4]
    most = signature.dims["batch"].max if "batch" in signature.dims else None
    for size in {len(feeds), len(feeds) - 1}:
        if size < 2 or (most is not None and size > most):
            continue
        together = runner.run({name: np.concatenate([feed[name] for feed in feeds[:size]]) for name in feeds[0]})
        for i, feed in enumerate(feeds[:size]):
            for name, single in runner.run(feed).items():
                tally.add("batch", name, single, together[name][i : i + 1], tolerance)


def _trailing(feed: Mapping[str, np.ndarray]) -> tuple[tuple[int, ...], ...]:
    return tuple(array.shape[1:] for array in feed.values())


def _answer(pipeline: Pipeline, item: Item) -> Answered | None:
    try:
        return answered(pipeline, pipeline.answer(item.read()), item)
    except TorchportError:
        return None
