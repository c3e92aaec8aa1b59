"""`torchport diff`: an old Bundle and a new one side by side: accuracy, latency, size, memory, and which answers
changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

from msgspec import structs

from ..bundle import Bundle, Variant
from ..choice import budget as budgets
from ..choice.choose import WIDEST_TIE, choose
from ..documents import ChangedAnswer, DiffDocument, DiffSide, latency
from ..errors import BadInput, RunError, TorchportError, UsageError
from ..predict import Predictor
from ..stats import told_apart
from ..system import machine
from ..system.disk import temporary
from ..system.machine import usable_cores
from ..tasks import Item, Task, assets, tasks
from ..tasks.facts import Facts
from ..timing import Job, Measurement, measure, summarise, thread_counts
from ..timing.candidates import doubts, prefixed, timed, workload
from ..types import Budget, Candidate, Reference, Timing
from ..verification import golden_of
from ..verification.accuracy import Answered, answered, judge, results_of
from ..verification.check import plan_of
from ..verification.traces import Trace
from .pack import sizes

RUNS = 3
"""How often both are timed, each time in new processes: how a process lies in memory decides some of its speed."""

RIGHT = 0.5
"""The least score, 0..1, of an answer that is called right."""


@dataclass(frozen=True)
class Side:
    """One of the two: an opened Bundle and the variant that stands for it."""

    name: str
    bundle: Bundle
    variant: Variant

    @property
    def path(self) -> Path:
        """Where the Bundle lies."""
        return self.bundle.path

    def candidate(self) -> Candidate:
        """The variant with what it takes on disk and to download."""
        row = next(row for row in sizes(self.bundle.manifest) if row.id == self.variant.id)
        artifact = self.variant.artifact
        return Candidate(
            id=self.variant.id,
            target=artifact.target,
            recipe=artifact.recipe,
            precision=artifact.precision,
            size_bytes=row.size_bytes,
            download_bytes=row.download_bytes,
        )


@dataclass(frozen=True)
class Answers:
    """What both answered: one answer an item, None where there was none, and every value of the first item that both
    answered.
    """

    old: list[Answered | None]
    new: list[Answered | None]
    values: tuple[Mapping[str, Any], Mapping[str, Any]]


def diff(
    old: Path,
    new: Path,
    *,
    budget: str = "",
    data: Path | None = None,
    variant: str = "",
    trusted: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> DiffDocument:
    """Answer, weigh and time the chosen variants of two Bundles of one task.

    Args:
        budget: what NEW must keep, as `budget.parse_relative` reads it; nothing where it is empty.
        data: the task's data; the golden items of OLD where it is None.
        variant: the id to take of both, or of OLD and NEW with a comma between them; the recorded choices where it is
        empty.

    Raises:
        UsageError: the budget or the variants cannot be read.
        BadInput: the two are of different tasks or labels, or there is no item that both answer.
        MissingDependency: a variant's runtime is not installed.
        RunError: a variant cannot be timed.
    """
    asked = budgets.parse_relative(budget) if budget else budgets.RelativeBudget(Budget(), {}, "")
    load = machine.busy()
    with ExitStack() as stack:
        sides = _sides([stack.enter_context(Bundle(path)) for path in (old, new)], variant)
        _check_alike(*sides)
        items = _items(sides[0], data)
        answers = _answer(sides, items, trusted, tell)
        before, after, spread = _measure(sides, answers, tell)
    task = tasks.need(sides[0].bundle.manifest.task.name)
    warnings = doubts(load, [before, after], {})
    if _files(sides[0]) == _files(sides[1]):
        warnings += ("both variants have the same files: what differs between their latencies and memory is noise",)
    accuracy, agreement = judge(task, answers.new, answers.old)
    known = judge(task, answers.old, answers.old)[0].value
    after = structs.replace(after, accuracy=accuracy, agreement=agreement)
    assert before.latency_ms and after.latency_ms, "what cannot be timed is an error"
    reference = Reference(latency_ms=before.latency_ms.median, accuracy=known, size_bytes=before.size_bytes)
    choice = choose([after], reference, _resolved(asked, before, after, spread), "any")
    return DiffDocument(
        task=task.name,
        old=_row(sides[0], before, known),
        new=_row(sides[1], after, accuracy.value),
        metric=accuracy.metric,
        labelled=accuracy.labelled,
        items=accuracy.items,
        accuracy_change=accuracy.value - known,
        interval=accuracy.interval,
        agreement=agreement,
        budget=asked.text,
        met=choice.met,
        met_because=choice.met_because,
        broken=choice.nearest,
        changed=tuple(_changed(items, answers, task, sides[0].bundle.facts())),
        speed=_speed(before.latency_ms, after.latency_ms),
        warnings=warnings,
    )


def _files(side: Side) -> dict[str, str]:
    """The hashes of what the variant runs, by path."""
    place = f"variants/{side.variant.id}/"
    return {
        entry.path.removeprefix(place): entry.sha256
        for entry in side.bundle.manifest.files
        if entry.path.startswith(place)
    }


def _speed(old: Timing, new: Timing) -> Literal["faster", "slower", "not shown"]:
    if not told_apart(old.median, new.median, max(old.noise, new.noise)):
        return "not shown"
    return "faster" if new.median < old.median else "slower"


def _sides(opened: Sequence[Bundle], variant: str) -> tuple[Side, Side]:
    names = [name.strip() for name in variant.split(",")] if variant else []
    if len(names) > 2 or not all(names):
        raise UsageError(
            f"--variant {variant}: neither one id nor two", "write --variant ID, or --variant OLD_ID,NEW_ID"
        )
    wanted = (
        names * 2
        if len(names) == 1
        else names or [bundle.manifest.chosen or bundle.manifest.variants[0].id for bundle in opened]
    )
    old, new = (
        Side(name, bundle, bundle.manifest.variant(one))
        for name, bundle, one in zip(("old", "new"), opened, wanted, strict=True)
    )
    return old, new


def _check_alike(old: Side, new: Side) -> None:
    before, after = (side.bundle.manifest.task.name for side in (old, new))
    if before != after:
        raise BadInput(
            f"{old.path.name} is for {before}, {new.path.name} for {after}: their answers cannot be compared",
            "give two Bundles of one task",
        )
    if _labels(old.bundle) != _labels(new.bundle):
        raise BadInput(
            f"{old.path.name} and {new.path.name} have different labels: their answers cannot be compared",
            "give two Bundles of models with the same classes in the same order",
        )


def _labels(bundle: Bundle) -> Any:
    found: Any = bundle.manifest.task.facts.get("labels")
    return bundle.file(found["file"]).read_bytes() if assets.is_file(found) else found


def _items(old: Side, data: Path | None) -> list[Item]:
    plan = plan_of(old.bundle)
    if data is not None:
        return plan.task.settle(data, plan.task.items(data, plan.facts), plan.facts, plan.signatures[plan.main]).items
    kept = golden_of(old.bundle)
    if not kept:
        raise BadInput(f"{old.path.name} holds no golden items to answer", "give --data")
    return [Item(one.name, lambda raw=one.host["raw"]: raw, one.label) for one in kept]  # type: ignore[misc]


def _answer(sides: tuple[Side, Side], items: Sequence[Item], trusted: bool, tell: Callable[[str], None]) -> Answers:
    results: tuple[list[Any], list[Any]] = ([], [])
    first: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    with ExitStack() as stack:
        predictors = [
            stack.enter_context(Predictor(side.path, variant=side.variant.id, trust=trusted)) for side in sides
        ]
        for number, item in enumerate(items, 1):
            tell(f"answering item {number} of {len(items)}")
            old, new = (_values(predictor, item) for predictor in predictors)
            first = first or ((old, new) if old is not None and new is not None else None)
            for found, predictor, values in zip(results, predictors, (old, new), strict=True):
                found.append(None if values is None else answered(predictor.pipeline, values, item))
    if first is None:
        raise BadInput(
            f"there is no item among {len(items)} that both {sides[0].path.name} and {sides[1].path.name} answer",
            "try `torchport predict` on one of them",
        )
    return Answers(*results, first)


def _values(predictor: Predictor, item: Item) -> dict[str, Any] | None:
    try:
        return predictor.values(item.read())
    except TorchportError:
        return None


def _measure(
    sides: tuple[Side, Side], answers: Answers, tell: Callable[[str], None]
) -> tuple[Candidate, Candidate, float]:
    """Both with latency and memory, and by which share of itself memory differed from one process to the next."""
    counts, jobs = thread_counts(usable_cores()), list[Job]()
    with temporary() as scratch:
        for side, values in zip(sides, answers.values, strict=True):
            place = scratch / side.name
            place.mkdir()
            work = workload(plan_of(side.bundle), Trace("", None, values, values), place)
            artifact = side.variant.artifact
            folder = side.bundle.variant_folder(side.variant, artifact.graphs)
            jobs += [
                Job(
                    side.name,
                    artifact.target,
                    artifact,
                    folder,
                    work.signature,
                    work.file,
                    threads,
                    work.graph,
                    chain=work.chain,
                )
                for threads in counts
            ]
        runs = []
        for number in range(1, RUNS + 1):
            words = f"run {number} of {RUNS}"
            runs.append(measure(jobs, rounds=4, seconds=0.4, most_s=30.0, progress=prefixed(tell, words)))
    found, spread = [], 0.0
    for side in sides:
        one = timed(
            side.candidate(), {threads: _merged([run[side.name, threads] for run in runs]) for threads in counts}
        )
        if one.latency_ms is None:
            raise RunError(f"{side.path.name}: {one.id} cannot be timed: {one.reason}", "try `torchport bench` on it")
        weights = [weight for run in runs if (weight := run[side.name, one.threads].memory_bytes)]
        spread = max([spread, *(abs(weight / median(weights) - 1) for weight in weights)])
        found.append(one)
    return found[0], found[1], spread


def _merged(runs: Sequence[Measurement]) -> Measurement:
    """All rounds of one job together; without a timing where any run failed."""
    if any(run.timing is None for run in runs):
        return next(run for run in runs if run.timing is None)
    weights = [run.memory_bytes for run in runs if run.memory_bytes is not None]
    return replace(
        runs[0],
        timing=summarise(times for run in runs if run.timing for times in run.timing.rounds),
        memory_bytes=round(median(weights)) if weights else None,
    )


def _resolved(asked: budgets.RelativeBudget, old: Candidate, new: Candidate, spread: float) -> Budget:
    """The budget in figures. What was measured with noise is given that much room beside the old figure, as two that
    tie are given.
    """
    assert old.latency_ms and new.latency_ms, "both were timed"
    noise = max(old.latency_ms.noise, new.latency_ms.noise)
    known = {
        "latency": ("latency_ms", old.latency_ms.median * (1 + min(WIDEST_TIE, noise))),
        "size": ("size_bytes", old.size_bytes),
        "memory": ("memory_bytes", old.memory_bytes and old.memory_bytes * (1 + min(WIDEST_TIE, spread))),
    }
    limits: dict[str, float] = {}
    for axis, ratio in asked.ratios.items():
        name, figure = known[axis]
        if figure is not None:
            stated, limit = getattr(asked.limits, name), ratio * figure
            limit = limit if stated is None else min(stated, limit)
            limits[name] = limit if axis == "latency" else int(limit)
    return structs.replace(asked.limits, text=asked.text, **limits)


def _row(side: Side, one: Candidate, accuracy: float) -> DiffSide:
    assert one.latency_ms is not None, "both were timed"
    return DiffSide(
        bundle=str(side.path),
        variant=one.id,
        accuracy=accuracy,
        latency_ms=latency(one.latency_ms),
        threads=one.threads,
        size_bytes=one.size_bytes or 0,
        download_bytes=one.download_bytes,
        memory_bytes=one.memory_bytes,
    )


def _changed(items: Sequence[Item], answers: Answers, task: Task, facts: Facts) -> list[ChangedAnswer]:
    rows = []
    for item, old, new in zip(items, results_of(answers.old), results_of(answers.new), strict=True):
        if old is new is None or (old is not None and new is not None and task.agree(new, old)):
            continue
        said = [None if one is None else task.words(one) for one in (old, new)]
        right = [
            None if item.label is None else one is not None and task.score(one, item.label) >= RIGHT
            for one in (old, new)
        ]
        label = None if item.label is None else task.label_words(item.label, facts)
        rows.append(
            ChangedAnswer(item=item.name, label=label, old=said[0], new=said[1], old_right=right[0], new_right=right[1])
        )
    return rows
