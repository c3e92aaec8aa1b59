"""Open an artefact from disk and hold every stage of it against the reference's traces, then answer the user's
items.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput, RunError, TorchportError, at
from ..figures import decibels
from ..targets import Runner, Target
from ..targets.base import is_batched
from ..tasks import Item, Pipeline, Plan
from ..types import Artifact, Distance, Parity, Step, Used
from .accuracy import Answered, answered
from .parity import Tally, snr_db
from .spool import Spool
from .traces import Trace
from .trials import Trial, shaky

CHAIN_TOLERANCE = 2e-3
"""Raw bytes to model outputs through exported preprocessing: a pixel may be rounded to the next level."""

PRECISE = 1e-3
"""An artefact with at most this tolerance computes as precisely as the reference: each item is held against its own
greatest value, where that is at least SMALL of the greatest of all, and values far from the data are tried on it."""
SMALL = 0.1

LEAST_DB, LOST_DB = 20.0, 10.0
"""Where nothing but the metric judges integers: the ratio of signal to noise that is right at any size, and how much
less than at the example's is right too.
"""

EVERY = "every item"


@dataclass(frozen=True)
class Known:
    """What the reference answered.

    Attributes:
        traces: every value of the first items.
        trials: other sizes and edge values.
        outputs: the model graph's outputs for every item that it answered, by the item's number; with `scales`, the
        greatest of each. runners: the reference itself, asked where an artefact differs whether any two runtimes would.
        trained: traces of the model as trained, where `traces` are another's: how far the artefact is from them is
        told.
    """

    traces: Sequence[Trace]
    trials: Sequence[Trial] = ()
    outputs: Spool | None = None
    scales: Mapping[str, float] = field(default_factory=dict)
    runners: Mapping[str, Runner] = field(default_factory=dict)
    trained: Sequence[Trace] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Without the reference itself: a child process that shares no memory with this one compares strictly."""
        return {**self.__dict__, "runners": {}}

    def shaky(self, graph: str, output: str, feed: Mapping[str, np.ndarray], example: Mapping[str, np.ndarray]) -> bool:
        """Whether an output hangs on the last bits of the feed; False where the reference is not at hand."""
        return graph in self.runners and shaky(self.runners[graph], output, feed, example)


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
        tolerance: greatest `max_rel` of a graph from the same tensor; None where arithmetic is the runtime's own
        integers. least_db: `stage/output` -> least ratio of signal to noise, in dB, for those.
    """

    tolerance: float | None
    least_db: Mapping[str, float] = field(default_factory=dict)

    @property
    def max_rel(self) -> float:
        """The tolerance as a number."""
        return math.inf if self.tolerance is None else self.tolerance


def examine(
    target: Target, artifact: Artifact, folder: Path, plan: Plan, known: Known, items: Sequence[Item], allowed: Allowed
) -> Examined:
    """Parity on what is known, then the answers for all items.

    Per stage: each exported graph from the reference's own inputs; the whole exported chain from raw bytes; a batch of
    n against n singles, at two batch sizes; each graph at other sizes and on edge values; the model's outputs for every
    item.

    Args:
        folder: where the artefact lies; it is opened anew from disk.
        allowed: how far it may be from the reference. Where that is not a tolerance, an answer may differ too: how many
        do
            is the metric's business.
    """
    tolerance, traces = allowed.max_rel, known.traces
    with ExitStack() as stack:
        with at("open"):
            runners = {
                name: stack.enter_context(target.open(artifact, folder, plan.signatures[name], name))
                for name in artifact.graphs
            }
        tally = Tally()
        failed: tuple[str, str] | None = None
        for one in traces:
            stages(plan, runners, one, tally, tolerance)
            failed = failed or _chain(plan, runners, one, tally, max(tolerance, CHAIN_TOLERANCE))
        for graph in [name for name in runners if name not in plan.driven]:
            _batches(runners[graph], [plan.feed(graph, one.graph) for one in traces], tally, tolerance)
        for graph in dict.fromkeys(call.graph for one in traces for call in one.calls):
            first = [next((call.feed for call in one.calls if call.graph == graph), None) for one in traces]
            _batches(runners[graph], [feed for feed in first if feed is not None], tally, tolerance)
        failed = failed or try_all(plan, runners, known, tally, tolerance)
        parity = _verdict(tally, failed, allowed)
        answers: list[Answered | None] = []
        if parity.ok:
            pipeline = Pipeline(plan, runners)
            for number, item in enumerate(items):
                answer, wrong = _answer(pipeline, plan, number, item, known, tally, tolerance)
                answers.append(answer)
                failed = failed or wrong
            parity = _verdict(tally, failed, allowed)
        return Examined(
            parity, answers if parity.ok else [], runners[plan.main].used, _distance(plan, runners, known.trained)
        )


def _distance(plan: Plan, runners: Mapping[str, Runner], trained: Sequence[Trace]) -> Distance | None:
    tally = Tally()
    for one in trained:
        stages(plan, runners, one, tally, math.inf)
    found = tally.parity()
    return Distance(max_rel=found.max_rel, snr_db=found.snr_db) if trained else None


def _verdict(tally: Tally, failed: tuple[str, str] | None, allowed: Allowed) -> Parity:
    return tally.parity(stage=failed[0], reason=failed[1]) if failed else tally.parity(least_db=allowed.least_db)


def stages(plan: Plan, runners: Mapping[str, Runner], one: Trace, tally: Tally, tolerance: float) -> None:
    """Each exported graph from the reference's own inputs."""
    pipeline = Pipeline(plan, runners, in_graph=True)
    for step, _ in plan.fed(one.graph, runners):
        values = {name: one.graph[name] for name in step.inputs.values()}
        pipeline.take(step, values)
        _compare(step, one.graph, values, tally, step.name, tolerance)
    for call in one.calls:
        for name, got in runners[call.graph].run(call.feed).items():
            tally.add(call.graph, name, call.outputs[name], got, tolerance)


def _chain(
    plan: Plan, runners: Mapping[str, Runner], one: Trace, tally: Tally, tolerance: float
) -> tuple[str, str] | None:
    reference = one.graph if runners.keys() >= {*plan.needed(in_graph=True)} else one.host
    try:
        values = Pipeline(plan, runners, in_graph=True).answer(reference["raw"])
    except RunError as exc:  # such as NaN that a host step refuses
        return "raw to result", f"{exc.message} on {one.name}"
    if (model := plan.step_of("model")) is not None:
        _compare(model, reference, values, tally, "raw to model", tolerance)
    if math.isfinite(tolerance) and not plan.task.agree(values["result"], reference["result"]):
        return "raw to result", f"a different answer from the reference's on {one.name}"
    return None


def _compare(
    step: Step, reference: Mapping[str, Any], got: Mapping[str, Any], tally: Tally, stage: str, tolerance: float
) -> None:
    for own, name in step.outputs.items():
        tally.add(stage, own, reference[name], got[name], tolerance, step.levels)


def _batches(runner: Runner, feeds: Sequence[Mapping[str, np.ndarray]], tally: Tally, tolerance: float) -> None:
    signature = runner.signature
    if (
        not all(is_batched(spec) for spec in (*signature.inputs, *signature.outputs))
        or len({_trailing(feed) for feed in feeds}) != 1
    ):
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


def try_all(
    plan: Plan, runners: Mapping[str, Runner], known: Known, tally: Tally, tolerance: float
) -> tuple[str, str] | None:
    """Each graph at other sizes and on edge values; what a runner fails on, in words, where it does.

    An artefact that refuses a size (BadInput) is bounded, and says so to whoever asks for it.
    """
    levels = plan.levels
    usual: dict[tuple[str, str], float] = {}
    for one in known.trials:
        if one.graph not in runners or (one.precise and tolerance > PRECISE):
            continue
        try:
            answered = runners[one.graph].run(one.feed)
        except BadInput:
            continue
        except TorchportError as exc:
            return one.stage, f"{one.graph} fails {one.what}: {exc.message}"
        for name, reference in one.outputs.items():
            got = answered[name]
            if one.graph in levels:
                tally.add(one.stage, name, reference, got, tolerance, levels[one.graph], where=one.what)
                continue
            excused = partial(known.shaky, one.graph, name, one.feed, one.example)
            tally.add_alone(
                (one.stage, name),
                reference,
                got,
                tolerance,
                least=_least(one.scales[name], tolerance),
                where=one.what,
                excused=excused,
            )
            if math.isinf(tolerance) and reference.dtype.kind == "f":
                ratio = snr_db(reference, got)
                if ratio < min(LEAST_DB, usual.setdefault((one.graph, name), ratio) - LOST_DB):
                    return (
                        one.stage,
                        f"{name}: {decibels(ratio)} from the reference {one.what}, "
                        f"{decibels(usual[one.graph, name])} on the example",
                    )
    return None


def _least(scale: float, tolerance: float) -> float:
    return scale * (SMALL if tolerance <= PRECISE else 1.0)


def _answer(
    pipeline: Pipeline, plan: Plan, number: int, item: Item, known: Known, tally: Tally, tolerance: float
) -> tuple[Answered | None, tuple[str, str] | None]:
    """The answer to an item, its outputs held against the reference's; and where only the reference answers it, that in
    words.
    """
    answerable = known.outputs is not None and number in known.outputs
    try:
        values = pipeline.answer(item.read())
    except TorchportError as exc:
        return None, (EVERY, f"{exc.message} on {item.name}") if answerable and math.isfinite(tolerance) else None
    if known.outputs is not None:
        feed = plan.feed(plan.main, values)
        for name, reference, got in known.outputs.beside(number, outputs_of(plan, values)):
            excused = partial(known.shaky, plan.main, name, feed, feed)
            tally.add_alone(
                (EVERY, name),
                reference,
                got,
                tolerance,
                least=_least(known.scales[name], tolerance),
                where=f"on {item.name}",
                excused=excused,
            )
    return answered(pipeline, values, item), None


def outputs_of(plan: Plan, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What the graph that stands for the model answered, by its own names; empty where a host step drives it."""
    return {own: np.asarray(value) for own, value in plan.outputs(plan.main, values).items()}
