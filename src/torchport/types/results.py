"""What was measured and decided: parity, timings, accuracy, candidates and the choice."""

from __future__ import annotations

from typing import Literal

from .artifacts import Used
from .base import Value


class OutputParity(Value, frozen=True):
    """One output of one stage against its reference, over all compared items.

    `max_rel` = max|a - b| / max|reference|; `snr_db` is None when the two are equal to the bit; for integer and boolean
    outputs `max_rel` is the share of elements that differ. `tolerance` is None where the ratio of signal to noise
    decides.
    """

    stage: str
    output: str
    max_rel: float
    snr_db: float | None
    ok: bool
    tolerance: float | None
    items: int


class Parity(Value, frozen=True):
    """The verdict on one artefact: worst figures first, then every output; `stage` and `reason` say where it failed."""

    ok: bool
    max_rel: float
    snr_db: float | None
    outputs: tuple[OutputParity, ...] = ()
    stage: str | None = None
    reason: str | None = None
    made_up: bool = False

    def __bool__(self) -> bool:
        return self.ok


class Distance(Value, frozen=True):
    """How far a model's outputs are from those of the model as trained, on the same inputs; `snr_db` is None where
    equal to the bit.
    """

    max_rel: float
    snr_db: float | None


class Timing(Value, frozen=True):
    """Latency of one call, in milliseconds, with the raw times it came from (one list a round)."""

    median: float
    p90: float
    noise: float
    rounds: tuple[tuple[float, ...], ...] = ()


class Accuracy(Value, frozen=True):
    """A task metric on `items` items; `interval` is the 95 % interval of the paired difference to the reference. Where
    nothing tells how right an answer is, `labelled` is false and the value the share answered as the reference does."""

    value: float
    items: int
    interval: tuple[float, float]
    metric: str
    labelled: bool


class Budget(Value, frozen=True):
    """What a candidate must keep. Fractions for accuracy, ms for latency, bytes for size and memory.

    Attributes:
        accuracy_share: least share of the reference's metric (`accuracy>=99%`).
        accuracy_least: least absolute value (`accuracy>=0.91`).
        accuracy_drop: greatest absolute loss (`accuracy<=1pt` is 0.01).
        agreement: least share of the items answered as by the reference (`agreement>=97%`).
    """

    accuracy_share: float | None = None
    accuracy_least: float | None = None
    accuracy_drop: float | None = None
    agreement: float | None = None
    latency_ms: float | None = None
    size_bytes: int | None = None
    memory_bytes: int | None = None
    text: str = ""


CandidateStatus = Literal["chosen", "ok", "rejected", "unverified", "failed", "absent"]
"""`unverified` was made here and runs elsewhere only; `absent` was not tried."""

FailedAt = Literal["quantise", "export", "open", "run", "mismatch"]
"""Where a row failed: as a recipe or the target's own quantiser changed the model, as the target converted it, as the
runtime opened it, as it ran, or by answering otherwise than the model."""

Met = Literal["yes", "no", "not shown"]


def status_word(status: CandidateStatus) -> str:
    """What people are told of a status: what is absent was not tried."""
    return "not tried" if status == "absent" else status


class Candidate(Value, frozen=True):
    """One candidate, a target with a recipe, and everything that was measured about it; null where nothing was.

    Attributes:
        threads, by_threads: the fastest number of threads, and the latency of each number that was tried.
        accuracy, agreement: on the validation split.
        test, test_agreement: on the test split, which only the winners (by latency, size or memory) answer, once.
        parity, parity_of: how the candidate compares with its reference. That is the model as trained, or, where
            `parity_of` names a chain of recipes, the model after those.
        distance: from the model as trained, where `parity_of` is another.
        same_as: id of the candidate whose files are the same, byte for byte: the recipe changed nothing.
    """

    id: str
    target: str
    recipe: str
    precision: str
    status: CandidateStatus = "ok"
    reason: str | None = None
    threads: int | None = None
    by_threads: dict[str, Timing] = {}
    profiles: tuple[str, ...] = ()
    size_bytes: int | None = None
    download_bytes: int | None = None
    memory_bytes: int | None = None
    latency_ms: Timing | None = None
    accuracy: Accuracy | None = None
    agreement: float | None = None
    test: Accuracy | None = None
    test_agreement: float | None = None
    parity: Parity | None = None
    used: Used | None = None
    notes: tuple[str, ...] = ()
    same_as: str | None = None
    parity_of: str | None = None
    distance: Distance | None = None
    failed_at: FailedAt | None = None

    @property
    def place(self) -> tuple[int, float, str]:
        """What tables are ordered by: the chosen row first, then those that could be, what was rejected, what failed;
        each by latency.
        """
        order: tuple[CandidateStatus, ...] = ("chosen", "ok", "rejected", "unverified", "failed", "absent")
        return order.index(self.status), self.latency_ms.median if self.latency_ms else float("inf"), self.id

    @property
    def word(self) -> str:
        """What people are told of `status`: `same as fp32` where the recipe changed nothing."""
        return f"same as {self.same_as.removeprefix(f'{self.target}-')}" if self.same_as else status_word(self.status)


class Reference(Value, frozen=True):
    """The eager model: what every candidate is held against. `measured` says when the latency was taken;
    `test_accuracy` is of the test split, where there is one; `reason` says why there is no latency."""

    latency_ms: float | None
    accuracy: float | None
    size_bytes: int | None
    test_accuracy: float | None = None
    measured: Literal["now", "at deploy"] = "now"
    latency: Timing | None = None
    reason: str | None = None


class Choice(Value, frozen=True):
    """The explained decision over all candidates.

    Attributes:
        chosen: id of the winner of the requested profile, None when nothing met the budget.
        chosen_for: profile -> winner.
        preferred: what can decide (latency, size, memory) -> winner of the requested profile by that.
        met: whether the winner is shown to keep the budget.
        why: why the winner won, in words; `met_because` says what `met` rests on.
        front: ids on the accuracy/latency/size Pareto front.
        nearest: axis -> sentence naming the nearest miss (only when nothing met the budget).
        warnings: what makes the figures less sure than they look, one sentence each.
    """

    chosen: str | None
    chosen_for: dict[str, str]
    met: Met
    why: str
    met_because: str
    front: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    nearest: dict[str, str] = {}
    preferred: dict[str, str] = {}
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        from ..figures import choice_summary

        return choice_summary(self)

    def _repr_html_(self) -> str:
        from ..figures import choice_table

        return choice_table(self)
