"""While deploying: the reference answers every item, then every artefact is held against it in a child process."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import BadInput, MissingDependency, ParityError, TorchportError
from ..figures import percent
from ..system import isolate
from ..targets import Runner, Target, targets
from ..tasks import Item, Pipeline, Plan
from ..types import PLAIN, Artifact, Candidate, FailedAt, Levels, Parity, Step
from ..verification.accuracy import Answered, answered, judge, mean_grade, results_of
from ..verification.edge_items import edge_trials
from ..verification.examine import Allowed, Examined, Known, examine, outputs_of, stages
from ..verification.parity import Tally, key_of
from ..verification.spool import Spool
from ..verification.traces import Trace, trace
from ..verification.trials import Trial, scale_of, trials

if TYPE_CHECKING:
    from ..frontend.program import Arrays, Program
    from .assemble import Assembled
    from .lower import LoweringResult

PARITY_ITEMS = 8
"""Items whose every value is kept for parity; accuracy uses all items."""

LEAST_AGREEMENT = 0.99
"""Share of the items that an artefact in integers answers as the quantised Program does."""

HOST_TOLERANCE = 1e-5
HOST_SHARE = 0.005
"""On which share of the values a host step that rounds may be a level from its graph. Both widen their kernel by the
same weights, and no pixel of 38 sizes differs; where kernels are not widened, 0.004 % of the values do. A wrong kernel
or order of passes is off by more levels."""


@dataclass(frozen=True)
class ReferenceAnswers:
    """The reference's answers.

    Attributes:
        traces: every value of the first items.
        answers: one answer an item, None where the item is unreadable (named in `unreadable`).
        accuracy: the reference's own metric, None where nothing tells how right its answers are.
        host: host steps held against the graphs that answer alike.
        outputs: the model graph's outputs for every item; with `scales`, output name -> its greatest value.
        examples: graph -> a real feed.
        items: the user's items.
    """

    plan: Plan
    traces: list[Trace]
    answers: list[Answered | None]
    unreadable: Mapping[str, str]
    accuracy: float | None
    host: Parity
    runners: Mapping[str, Runner] = field(repr=False)
    outputs: Spool = field(repr=False)
    scales: Mapping[str, float]
    examples: Mapping[str, Arrays] = field(repr=False)
    items: Sequence[Item] = field(repr=False)

    @cached_property
    def trials(self) -> list[Trial]:
        """What the reference answers where no item leads: other sizes of each graph's free dimensions; edge values
        where users give tensors, else inputs at the edge of what the task takes.
        """
        sized = [
            one
            for name, example in self.examples.items()
            for one in trials(name, example, self.runners[name], edges=self.plan.task.takes_tensors)
        ]
        return sized + edge_trials(self.plan, self.items, self.runners, self.examples)

    def known(self, trained: Sequence[Trace] = ()) -> Known:
        """All that an artefact is held against."""
        return Known(self.traces, self.trials, self.outputs, self.scales, self.runners, trained)

    @property
    def results(self) -> list[Mapping[str, Any] | None]:
        """One presented result an item."""
        return results_of(self.answers)


def prove_reference(assembled: Assembled, tell: Callable[[str], None]) -> ReferenceAnswers:
    """Answer every item with the eager model; an unreadable item is left out and named in a RuntimeWarning.

    Raises:
        BadInput: no item can be read.
        RunError: the model fails, or answers NaN.
        ParityError: a host step and the graph that is to answer alike do not.
    """
    from ..targets.eager import ModuleRunner

    plan = Plan(assembled.task, assembled.facts, assembled.steps, assembled.graphs)
    runners: dict[str, Runner] = {name: ModuleRunner(graph) for name, graph in assembled.program.graphs.items()}
    pipeline = Pipeline(plan, runners)
    traces: list[Trace] = []
    answers: list[Answered | None] = []
    unreadable: dict[str, str] = {}
    outputs, scales = Spool(), dict[str, float]()
    for number, item in enumerate(assembled.items):
        tell(item.name)
        try:
            one = trace(plan, item, runners, both=len(traces) < PARITY_ITEMS)
        except BadInput as exc:
            unreadable[item.name] = str(exc)
            answers.append(None)
            continue
        answers.append(answered(pipeline, one.host, item))
        outputs.add(number, given := outputs_of(plan, one.host))
        scales |= {name: max(scales.get(name, 0.0), scale_of(array)) for name, array in given.items()}
        if len(traces) < PARITY_ITEMS:
            traces.append(one)
    if not traces:
        raise BadInput(
            f"none of the {len(assembled.items)} items can be used: "
            f"{next(iter(unreadable.values()), 'there are none')}",
            "check --data",
        )
    if unreadable:
        name, why = next(iter(unreadable.items()))
        warnings.warn(
            f"{len(unreadable)} of {len(assembled.items)} items cannot be used and are left out ({name}: {why})",
            RuntimeWarning,
            stacklevel=2,
        )
    host = _host_parity(plan, traces, runners)
    if not host:
        raise ParityError(
            f"{host.stage}: {host.reason}",
            "the exported step would answer differently from the host's; report the facts and a picture that shows it",
        )
    examples = {name: graph.examples for name, graph in assembled.program.graphs.items()}
    accuracy = mean_grade(answers)
    return ReferenceAnswers(
        plan, traces, answers, unreadable, accuracy, host, runners, outputs, scales, examples, assembled.items
    )


@dataclass(frozen=True)
class Baseline:
    """What the artefacts of one chain of recipes are held against: the answers of its own Program, or of the model as
    trained.

    Attributes:
        least_db: `stage/output` -> least ratio of signal to noise, in dB, of an artefact that does this Program's
        integer
            arithmetic in its own way: what quantising itself left. Empty where the Program is floating-point.
    """

    proven: ReferenceAnswers
    least_db: Mapping[str, float] = field(default_factory=dict)

    def allowed(self, target: Target, precision: str) -> dict[str, float]:
        """`least_db` of an artefact of that precision: where the floats between the integers are settled too
        (`int8_static+bf16`), it may cost what the target's tolerance for those leaves."""
        floats = target.tolerance(precision.partition("+")[2])
        return {
            key: ratio if floats is None else min(ratio, -20 * math.log10(floats))
            for key, ratio in self.least_db.items()
        }


def prove_program(
    assembled: Assembled, program: Program, original: ReferenceAnswers, *, quantised: bool, tell: Callable[[str], None]
) -> Baseline:
    """Answer every item with a compressed Program.

    Args:
        original: the answers of the model as trained.
        quantised: whether the Program computes with integers.

    Raises:
        RunError: the Program fails, or answers NaN.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the items that cannot be read were named for the original
        proven = prove_reference(replace(assembled, program=program), tell)
    if not quantised:
        return Baseline(proven)
    tally = Tally()
    for one in original.traces:
        stages(original.plan, proven.runners, one, tally, math.inf)
    return Baseline(
        proven, {key_of(output): output.snr_db for output in tally.parity().outputs if output.snr_db is not None}
    )


def _host_parity(plan: Plan, traces: Sequence[Trace], runners: Mapping[str, Runner]) -> Parity:
    """Each host step against the graph of the same step, on the same inputs; inputs that only `fit` makes fit are left
    out.
    """
    tally = Tally()
    for one in traces:
        for step, inputs in plan.fed(one.host, runners):
            if step.host is None or _fitted(plan, step, inputs):
                continue
            levels = step.levels and Levels(size=step.levels.size, share=HOST_SHARE)
            answered = runners[step.graph or ""].run(inputs)
            for own, name in step.outputs.items():
                tally.add(f"{step.name} on the host", own, one.host[name], answered[own], HOST_TOLERANCE, levels)
    return tally.parity()


def _fitted(plan: Plan, step: Step, inputs: Mapping[str, Any]) -> bool:
    """Whether the step's `fit` changes these inputs where nothing bounds them."""
    if step.fit is None:
        return False
    fitted = plan.task.host[step.fit]({**inputs, "max_shape": dict.fromkeys(inputs)}, plan.facts)
    return any(value is not inputs[own] for own, value in fitted.items())


def golden_traces(proven: ReferenceAnswers, wanted: int | Path) -> list[Trace]:
    """The traces to keep as golden vectors: the first of the data, or those of a folder of the user's choice."""
    if isinstance(wanted, int):
        return proven.traces[:wanted]
    items = proven.plan.task.items(wanted, proven.plan.facts)
    return [trace(proven.plan, item, proven.runners, both=True) for item in items]


@dataclass(frozen=True)
class Prover:
    """Holds artefacts against the model, each in a child process.

    Attributes:
        folder: where the artefacts lie, each in a folder called by its id.
        log: file that the runtimes' noise is appended to.
    """

    assembled: Assembled
    folder: Path
    log: Path

    def prove(
        self, low: LoweringResult, baselines: Mapping[str, Baseline], limit_s: float
    ) -> tuple[Candidate, list[Any] | None]:
        """A candidate with parity and accuracy; and what its artefact answered, None where it did not.

        Args:
            baselines: chain name -> what its artefacts are held against; `fp32` is what accuracy and agreement are.
            limit_s: wall-clock limit, in seconds.
        """
        row = low.wanted
        base = Candidate(id=row.id, target=row.target, recipe=row.recipe.name, precision=row.recipe.precision)
        if low.artifact is None:
            if isinstance(low.error, MissingDependency):
                return msgspec.structs.replace(base, status="absent", reason=str(low.error)), None
            return _failed(base, str(low.error), _stage(low.error, "export")), None
        target, baseline, original = targets.get(row.target), baselines[row.recipe.baseline], baselines[PLAIN].proven
        base = msgspec.structs.replace(base, profiles=target.profiles, notes=low.artifact.notes)
        if low.same_as:
            return msgspec.structs.replace(
                base,
                status="rejected",
                same_as=low.same_as,
                reason=f"same as {low.same_as}: the recipe changed nothing in this file",
            ), None
        if (elsewhere := target.fits(low.artifact)) is not None:
            why = f"made here, not verified: {elsewhere}"
            return msgspec.structs.replace(base, status="unverified", reason=why), None
        allowed = Allowed(target.tolerance(low.artifact.precision), baseline.allowed(target, low.artifact.precision))
        own = baseline.proven is not original
        known = baseline.proven.known(original.traces if own else [])
        base = msgspec.structs.replace(base, parity_of=row.recipe.baseline if own else None)
        try:
            found: Examined = isolate.call(
                examine,
                target,
                low.artifact,
                self.folder / row.id,
                original.plan,
                known,
                self.assembled.items,
                allowed,
                log=self.log,
                limit_s=limit_s,
                what=row.id,
            )
        except TorchportError as exc:
            return _failed(base, str(exc), _stage(exc, "run")), None
        base = msgspec.structs.replace(base, distance=found.distance)
        parity = msgspec.structs.replace(found.parity, made_up=self.assembled.made_up)
        if parity.ok and baseline.least_db:
            parity = _agreeing(parity, judge(self.assembled.task, found.answers, baseline.proven.answers)[1])
        if not parity.ok:
            base = msgspec.structs.replace(base, parity=parity)
            return _failed(base, f"{parity.stage}: {parity.reason}", "mismatch"), None
        accuracy, agreement = judge(self.assembled.task, found.answers, original.answers)
        return msgspec.structs.replace(base, parity=parity, accuracy=accuracy, agreement=agreement), results_of(
            found.answers
        )


def _failed(row: Candidate, reason: str, stage: FailedAt) -> Candidate:
    return msgspec.structs.replace(row, status="failed", reason=reason, failed_at=stage)


def _stage(error: TorchportError | None, otherwise: FailedAt) -> FailedAt:
    """The stage that an error says it ended, see `errors.at`."""
    said: FailedAt = msgspec.convert(error.failed_at if error and error.failed_at else otherwise, FailedAt)
    return said


def _agreeing(parity: Parity, agreement: float) -> Parity:
    """The verdict on integer arithmetic, once the answers were compared with those of the quantised Program."""
    if agreement >= LEAST_AGREEMENT:
        return parity
    return msgspec.structs.replace(
        parity,
        ok=False,
        stage="raw to result",
        reason=f"answers as the quantised Program on {percent(agreement)} of the items, at least "
        f"{percent(LEAST_AGREEMENT)} asked for",
    )


def answer_test(proven: ReferenceAnswers, items: Sequence[Item]) -> list[Answered | None]:
    """What the model as trained answers on the test split; None for one that cannot be read."""
    pipeline = Pipeline(proven.plan, proven.runners)
    known: list[Answered | None] = []
    for item in items:
        try:
            known.append(answered(pipeline, trace(proven.plan, item, proven.runners, both=False).host, item))
        except BadInput:
            known.append(None)
    return known


def prove_test(
    winners: Mapping[str, tuple[Candidate, Artifact]],
    proven: ReferenceAnswers,
    items: Sequence[Item],
    known: Sequence[Answered | None],
    folder: Path,
    *,
    log: Path,
    limit_s: float,
    tell: Callable[[str], None],
) -> dict[str, Candidate]:
    """What the winners answer on the test split, beside the model as trained: id -> the candidate with it.

    Args:
        winners: candidate id -> the candidate and its artefact.
        known: what `answer_test` found.
        folder: where the artefacts lie, each in a folder called by its id.
    """
    rows = {}
    for one, artifact in winners.values():
        tell(one.id)
        target = targets.get(one.target)
        try:
            found: Examined = isolate.call(
                examine,
                target,
                artifact,
                folder / one.id,
                proven.plan,
                Known([]),
                items,
                Allowed(None),
                log=log,
                limit_s=limit_s,
                what=one.id,
            )
        except TorchportError as exc:
            rows[one.id] = msgspec.structs.replace(one, notes=(*one.notes, f"not tested: {exc}"))
            continue
        test, agreement = judge(proven.plan.task, found.answers, known)
        rows[one.id] = msgspec.structs.replace(one, test=test, test_agreement=agreement)
    return rows
