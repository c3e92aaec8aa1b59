"""The JSON documents of the command line: what `--json` prints. The published schemas are derived from these types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .targets.shared.survey import Findings, TargetsDocument
from .types import (
    Accuracy,
    Candidate,
    CandidateStatus,
    Choice,
    Distance,
    FailedAt,
    Met,
    Parity,
    Reference,
    Timing,
    Value,
)

if TYPE_CHECKING:
    from .tasks import Task

VERSION = 1
"""Version of every document: within it fields are only added."""


class Latency(Value, frozen=True):
    """Milliseconds of one call at batch 1; noise between rounds as a fraction. Raw times stay in the Bundle."""

    median: float
    p90: float
    noise: float


class AccuracyRow(Value, frozen=True):
    """The task's metric on `items` items; `interval` is the 95 % interval of the paired difference to the reference."""

    value: float
    items: int
    interval: tuple[float, float]
    metric: str
    labelled: bool


class ParityRow(Value, frozen=True):
    """The worst figures against the reference; `stage` and `reason` say where it failed. `snr_db` is null where equal
    to the bit.
    """

    ok: bool
    max_rel: float
    snr_db: float | None
    stage: str | None
    reason: str | None


class CandidateRow(Value, frozen=True):
    """One candidate, a target with a recipe, and everything that was measured about it; null where nothing was.

    `reason` says why the candidate was not chosen, and `failed_at` the stage at which a failed one failed.
    `by_threads` maps each number of threads that was tried to its latency; `threads` is the fastest number.
    `accuracy` and `agreement` (the share of items answered as by the reference) are on the validation split.
    `test` and `test_agreement` are on the test split, of winners only.
    `parity` compares the candidate with its reference: the model as trained, or, where `parity_of` names a chain of
    recipes, the model after those. `distance` is then the difference from the model as trained.
    `same_as` names the candidate whose files are the same, byte for byte.
    An `unverified` candidate was made here and can only be verified on another machine.
    """

    id: str
    target: str
    recipe: str
    precision: str
    threads: int | None
    by_threads: dict[str, Latency]
    profiles: tuple[str, ...]
    size_bytes: int | None
    download_bytes: int | None
    memory_bytes: int | None
    latency_ms: Latency | None
    accuracy: AccuracyRow | None
    agreement: float | None
    parity: ParityRow | None
    status: CandidateStatus
    reason: str | None
    notes: tuple[str, ...]
    test: AccuracyRow | None = None
    test_agreement: float | None = None
    same_as: str | None = None
    parity_of: str | None = None
    distance: Distance | None = None
    failed_at: FailedAt | None = None


class ReferenceRow(Value, frozen=True):
    """The eager model; `measured` says when its latency was taken, `test_accuracy` is on the test split."""

    latency_ms: float | None
    accuracy: float | None
    size_bytes: int | None
    measured: Literal["now", "at deploy"]
    test_accuracy: float | None = None


class ChoiceDocument(Value, frozen=True):
    """What `deploy`, `demo` and `bench` print: the explained decision. `bundle` and `chosen` are null where nothing met
    the budget; `preferred` is the winner of the requested profile by latency, size and memory; `warnings` say what
    makes the figures less sure."""

    bundle: str | None
    chosen: str | None
    chosen_for: dict[str, str]
    met: Met
    why: str
    met_because: str
    front: tuple[str, ...]
    nearest: dict[str, str]
    reference: ReferenceRow
    candidates: tuple[CandidateRow, ...]
    preferred: dict[str, str] = {}
    warnings: tuple[str, ...] = ()


class Prediction(Value, frozen=True):
    """One input's answer, to which the task adds its own fields where `ok`; `error` says why there is none."""

    input: str
    ok: bool
    error: str | None


class PredictDocument(Value, frozen=True):
    """What `predict` prints: one element of `results` an input, in their order; `variant` is the one that answered."""

    bundle: str
    variant: str
    results: tuple[Prediction, ...]


class TaskRow(Value, frozen=True):
    """One task: its facts with their defaults and what they mean, its metric, the files it takes, and a line to try;
    `about_data` says what `--data` takes and where labels stand, `about_metric` what is counted."""

    name: str
    about: str
    metric: str
    facts: dict[str, Any]
    about_facts: dict[str, str]
    suffixes: tuple[str, ...]
    example: str
    about_data: str = ""
    about_metric: str = ""


class TasksDocument(Value, frozen=True):
    """What `tasks` prints."""

    tasks: tuple[TaskRow, ...]


class CompletionDocument(Value, frozen=True):
    """What `completion` prints: a script that the shell runs."""

    shell: str
    script: str


class NewDocument(Value, frozen=True):
    """What `new` prints: the folder of the package, and its files."""

    folder: str
    files: tuple[str, ...]


class VariantSize(Value, frozen=True):
    """What one variant takes, in bytes, each figure apart.

    Attributes:
        size_bytes: its files in the Bundle, as they are stored.
        download_bytes: those files deflated, as the web sends them; null where it was not measured.
        decoded_bytes: its files as the runtime opens them.
        memory_bytes: peak above an empty process of that runtime, measured when the Bundle was made; null where it was
        not.
    """

    id: str
    size_bytes: int
    download_bytes: int | None
    decoded_bytes: int
    memory_bytes: int | None


class PackDocument(Value, frozen=True):
    """What `pack` prints: the new Bundle, the ids that it holds, and the bytes of its files, as stored and decoded;
    `sizes` tells those of each variant.
    """

    bundle: str
    variants: tuple[str, ...]
    size_bytes: int
    decoded_bytes: int
    sizes: tuple[VariantSize, ...]


class DiffSide(Value, frozen=True):
    """One of two compared Bundles: its variant, and what that was measured to reach; `accuracy` is the mean score, or 1
    for OLD where nothing is labelled.
    """

    bundle: str
    variant: str
    accuracy: float
    latency_ms: Latency
    threads: int | None
    size_bytes: int
    download_bytes: int | None
    memory_bytes: int | None


class ChangedAnswer(Value, frozen=True):
    """One item that NEW answers differently from OLD, in a few words each; null where there was no answer. `old_right`
    and `new_right` are null without a label.
    """

    item: str
    label: str | None
    old: str | None
    new: str | None
    old_right: bool | None
    new_right: bool | None


class DiffDocument(Value, frozen=True):
    """What `diff` prints: OLD and NEW side by side, whether NEW keeps the budget, and every answer that changed.

    `accuracy_change` is the accuracy of NEW minus that of OLD on `items` items, and `interval` its 95 % interval.
    `agreement` is the share of items that both answer alike. `broken` maps each limit of the budget that NEW exceeds to
    the reason. `speed` compares the latencies: `not shown` where they differ by no more than two timings of one file.
    `warnings` say what makes the figures less certain.
    """

    task: str
    old: DiffSide
    new: DiffSide
    metric: str
    labelled: bool
    items: int
    accuracy_change: float
    interval: tuple[float, float]
    agreement: float
    budget: str
    met: Met
    met_because: str
    broken: dict[str, str]
    changed: tuple[ChangedAnswer, ...]
    speed: Literal["faster", "slower", "not shown"] = "not shown"
    warnings: tuple[str, ...] = ()


class ErrorRow(Value, frozen=True):
    """The class of an error, what happened and where, and the next step."""

    type: str
    message: str
    hint: str


class ErrorDocument(Value, frozen=True):
    """What a verb prints that failed before it had an answer."""

    error: ErrorRow


def task_row(task: Task) -> TaskRow:
    """The row of a task."""
    return TaskRow(
        name=task.name,
        about=task.about,
        metric=task.metric,
        facts=dict(task.defaults),
        about_facts=dict(task.about_facts),
        suffixes=task.suffixes,
        example=task.example,
        about_data=task.about_data,
        about_metric=task.about_metric,
    )


def choice(bundle: str | None, made: Choice, eager: Reference) -> ChoiceDocument:
    """The document of a decision."""
    return ChoiceDocument(
        bundle=bundle,
        chosen=made.chosen,
        chosen_for=made.chosen_for,
        met=made.met,
        why=made.why,
        met_because=made.met_because,
        front=made.front,
        nearest=made.nearest,
        reference=ReferenceRow(
            latency_ms=eager.latency_ms,
            accuracy=eager.accuracy,
            size_bytes=eager.size_bytes,
            measured=eager.measured,
            test_accuracy=eager.test_accuracy,
        ),
        candidates=tuple(map(_candidate, made.candidates)),
        preferred=made.preferred,
        warnings=made.warnings,
    )


def prediction(source: str, result: Mapping[str, Any] | None, error: Exception | None) -> dict[str, Any]:
    """One element of `results`: a Prediction with the task's own fields beside it."""
    return {
        **msgspec.structs.asdict(
            Prediction(input=source, ok=error is None, error=None if error is None else str(error))
        ),
        **(result or {}),
    }


def kinds() -> dict[str, type[Value]]:
    """Every kind of document that has a schema of its own, by the verb that prints it; `error` is any verb's."""
    from .bundle import Manifest
    from .conform import ConformDocument
    from .deployment.export import ExportDocument
    from .serve.documents import KINDS
    from .verification import Verdict
    from .verification.diverging import DebugDocument

    own: dict[str, type[Value]] = {
        "completion": CompletionDocument,
        "conform": ConformDocument,
        "debug": DebugDocument,
        "deploy": ChoiceDocument,
        "diff": DiffDocument,
        "doctor": Findings,
        "error": ErrorDocument,
        "export": ExportDocument,
        "inspect": Manifest,
        "new": NewDocument,
        "pack": PackDocument,
        "predict": PredictDocument,
        "targets": TargetsDocument,
        "tasks": TasksDocument,
        "verify": Verdict,
    }
    return dict(sorted({**own, **KINDS}.items()))


def schema(name: str) -> dict[str, Any]:
    """The published JSON Schema of one of `kinds`.

    Other fields are allowed, because later versions add some. Predictions may have the fields of every task.
    """
    from .tasks import tasks

    kind = kinds()[name]
    made = msgspec.json.schema(kind)
    described = made["$defs"]
    if kind is PredictDocument:
        for task in map(tasks.get, tasks.names()):
            own = msgspec.json.schema(task.answer)
            described.update({title: one for title, one in own["$defs"].items() if title != task.answer.__name__})
            described[Prediction.__name__]["properties"].update(own["$defs"][task.answer.__name__]["properties"])
    for one in described.values():
        if one.get("additionalProperties") is False:
            del one["additionalProperties"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:torchport:{name}:{VERSION}", **made}


def _candidate(one: Candidate) -> CandidateRow:
    same = {name: getattr(one, name) for name in CandidateRow.__struct_fields__}
    shown = {
        "by_threads": {threads: latency(timing) for threads, timing in one.by_threads.items()},
        "latency_ms": latency(one.latency_ms) if one.latency_ms else None,
        "accuracy": _accuracy(one.accuracy),
        "parity": _parity(one.parity) if one.parity is not None else None,
        "test": _accuracy(one.test),
    }
    return CandidateRow(**{**same, **shown})


def _accuracy(one: Accuracy | None) -> AccuracyRow | None:
    return AccuracyRow(**msgspec.structs.asdict(one)) if one else None


def latency(timing: Timing) -> Latency:
    """A timing without its raw times."""
    return Latency(median=round(timing.median, 4), p90=round(timing.p90, 4), noise=round(timing.noise, 4))


def _parity(one: Parity) -> ParityRow:
    return ParityRow(ok=one.ok, max_rel=one.max_rel, snr_db=one.snr_db, stage=one.stage, reason=one.reason)
