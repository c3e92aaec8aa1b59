"""While deploying: the reference answers every item, then every artefact is held against it in a child process."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .. import isolate
from ..errors import BadInput, MissingDependency, ParityError, TorchportError
from ..targets import Runner, targets
from ..types import Candidate, Levels, Parity
from .accuracy import judge
from .examine import Examined, examine
from .parity import Tally
from .traces import Plan, Trace, trace

if TYPE_CHECKING:
    from ..capture.assemble import Assembled
    from ..lower import Lowered

PARITY_ITEMS = 8
"""Items whose every value is kept for parity; accuracy uses all items."""

HOST_TOLERANCE = 1e-5
HOST_LEVELS = 2
HOST_SHARE = 0.25
"""How far a host step that rounds may be from its graph. Where pictures shrink by a simple fraction (5:4, say) many sums lie exactly
between two levels and fall by the arithmetic's width: 480x320 by a bilinear kernel differs on 7 to 12 % of the pixels. A wrong
kernel or order of passes is off by more levels than two."""


@dataclass(frozen=True)
class Proven:
    """The reference's answers.

    Attributes:
        traces: every value of the first items.
        results: one presented result an item, None where the item is unreadable (named in `unreadable`).
        accuracy: the reference's own metric, None where the items carry no labels.
        host: host steps held against the graphs that answer alike.
    """

    plan: Plan
    traces: list[Trace]
    results: list[Mapping[str, Any] | None]
    unreadable: Mapping[str, str]
    accuracy: float | None
    host: Parity
    runners: Mapping[str, Runner] = field(repr=False)


def prove_reference(assembled: Assembled, tell: Callable[[str], None]) -> Proven:
    """Answer every item with the eager model; an unreadable item is left out and named in a RuntimeWarning.

    Raises:
        BadInput: no item can be read.
        RunError: the model fails, or answers NaN.
        ParityError: a host step and the graph that is to answer alike do not.
    """
    from ..targets.eager import ModuleRunner

    plan = Plan(assembled.task, assembled.facts, assembled.steps, assembled.graphs)
    runners: dict[str, Runner] = {name: ModuleRunner(graph) for name, graph in assembled.program.graphs.items()}
    traces: list[Trace] = []
    results: list[Mapping[str, Any] | None] = []
    unreadable: dict[str, str] = {}
    for item in assembled.items:
        tell(item.name)
        try:
            one = trace(plan, item, runners, both=len(traces) < PARITY_ITEMS)
        except BadInput as exc:
            unreadable[item.name] = str(exc)
            results.append(None)
            continue
        results.append(one.host["result"])
        if len(traces) < PARITY_ITEMS:
            traces.append(one)
    if not traces:
        raise BadInput(f"none of the {len(assembled.items)} items can be used: {next(iter(unreadable.values()), 'there are none')}", "check --data")
    if unreadable:
        name, why = next(iter(unreadable.items()))
        warnings.warn(f"{len(unreadable)} of {len(assembled.items)} items cannot be used and are left out ({name}: {why})", RuntimeWarning, stacklevel=2)
    scores = [assembled.task.score(got, item.label) for item, got in zip(assembled.items, results, strict=True) if got is not None and item.label is not None]
    complete = len(scores) == sum(got is not None for got in results)
    host = _host_parity(plan, traces, runners)
    if not host:
        raise ParityError(f"{host.stage}: {host.reason}", "the exported step would answer otherwise than the host's; report the facts and a picture that shows it")
    return Proven(plan, traces, results, unreadable, sum(scores) / len(scores) if scores and complete else None, host, runners)


def _host_parity(plan: Plan, traces: Sequence[Trace], runners: Mapping[str, Runner]) -> Parity:
    """Each host step against the graph of the same step, on the same inputs; inputs that only `fit` makes fit are left out."""
    tally = Tally()
    for step in plan.steps:
        if step.graph is None or step.host is None:
            continue
        levels = step.levels and Levels(size=HOST_LEVELS * step.levels.size, share=HOST_SHARE)
        for one in traces:
            inputs = {own: one.host[name] for own, name in step.inputs.items()}
            if step.fit and any(value is not inputs[own] for own, value in plan.task.host[step.fit]({**inputs, "max_shape": dict.fromkeys(inputs)}, plan.facts).items()):
                continue
            answered = runners[step.graph].run(inputs)
            for own, name in step.outputs.items():
                tally.add(f"{step.name} on the host", own, one.host[name], answered[own], HOST_TOLERANCE, levels)
    return tally.parity()


def golden_traces(proven: Proven, wanted: int | Path) -> list[Trace]:
    """The traces to keep as golden vectors: the first of the data, or those of a folder of the user's choice."""
    if isinstance(wanted, int):
        return proven.traces[:wanted]
    items = proven.plan.task.items(wanted, proven.plan.facts)
    return [trace(proven.plan, item, proven.runners, both=True) for item in items]


def prove(
    lowered: Sequence[Lowered],
    assembled: Assembled,
    proven: Proven,
    folder: Path,
    *,
    log: Path,
    limit_s: float,
    tell: Callable[[str], None],
) -> tuple[list[Candidate], dict[str, list[Any]]]:
    """A candidate for every row, with parity and accuracy; and what each artefact answered, by id.

    Args:
        folder: where the artefacts lie, each in a folder called by its id.
        log: file that the runtimes' noise is appended to.
        limit_s: wall-clock limit of one artefact, in seconds.
        tell: called with the id of the row that begins.
    """
    answers: dict[str, list[Any]] = {}
    candidates = []
    for low in lowered:
        tell(low.wanted.id)
        candidate, found = _one(low, assembled, proven, folder / low.wanted.id, log, limit_s)
        candidates.append(candidate)
        if found is not None:
            answers[candidate.id] = found
    return candidates, answers


def _one(low: Lowered, assembled: Assembled, proven: Proven, place: Path, log: Path, limit_s: float) -> tuple[Candidate, list[Any] | None]:
    row = low.wanted
    base = Candidate(id=row.id, target=row.target, recipe=row.recipe.name, precision=row.recipe.precision)
    if low.artifact is None:
        status = "absent" if isinstance(low.error, MissingDependency) else "failed"
        return msgspec.structs.replace(base, status=status, reason=str(low.error)), None
    target = targets.get(row.target)
    base = msgspec.structs.replace(base, profiles=target.profiles, notes=low.artifact.notes)
    tolerance = target.tolerance(low.artifact.precision)
    try:
        found: Examined = isolate.call(examine, target, low.artifact, place, proven.plan, proven.traces, assembled.items, tolerance, log=log, limit_s=limit_s, what=row.id)
    except TorchportError as exc:
        return msgspec.structs.replace(base, status="failed", reason=str(exc)), None
    parity = msgspec.structs.replace(found.parity, made_up=assembled.made_up)
    if not parity.ok:
        return msgspec.structs.replace(base, status="failed", parity=parity, reason=f"{parity.stage}: {parity.reason}"), None
    accuracy, agreement = judge(assembled.task, assembled.items, found.results, proven.results)
    return msgspec.structs.replace(base, parity=parity, accuracy=accuracy, agreement=agreement), found.results
