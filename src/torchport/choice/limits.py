"""What a candidate misses of a budget, axis by axis: as numbers to compare and in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from ..figures import milliseconds, number, percent, points, size
from ..types import Accuracy, Budget, Candidate, Parity, Reference, Timing

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Axis:
    """One figure with a greatest allowed value."""

    name: str
    limit: float | None
    value: Callable[[Candidate], float | None]
    unit: Callable[[float], str]
    verb: str

    def miss(self, candidate: Candidate) -> float:
        """How many times over the limit, less one; negative or 0 is inside, and so is what was not measured."""
        value = self.value(candidate)
        return -1.0 if self.limit is None or value is None else value / self.limit - 1

    def words(self, candidate: Candidate) -> str:
        """The miss as a sentence without its subject."""
        value, limit = self.value(candidate), self.limit
        assert value is not None and limit is not None
        return (
            f"{self.verb} {self.unit(value)}, {self.unit(value - limit)} ({percent(value / limit - 1)}) over the "
            f"{self.unit(limit)} allowed"
        )


def axes(budget: Budget) -> list[Axis]:
    """The figures that a budget may limit, accuracy apart."""
    return [
        Axis("latency", budget.latency_ms, _latency, milliseconds, "answers in"),
        Axis("size", budget.size_bytes, lambda c: c.size_bytes, size, "takes"),
        Axis("memory", budget.memory_bytes, lambda c: c.memory_bytes, size, "needs memory of"),
    ]


def _latency(candidate: Candidate) -> float | None:
    return candidate.latency_ms.median if candidate.latency_ms else None


def judged(candidate: Candidate, reference: Reference, budget: Budget) -> Candidate:
    """The candidate as `ok`, or as `rejected` with every reason; one that is none stays as it is."""
    if candidate.status in ("failed", "absent", "unverified") or candidate.same_as:
        return candidate
    reasons = [words for _, words in all_missed(candidate, reference, budget).values()]
    return replace(candidate, status="rejected" if reasons else "ok", reason="; ".join(reasons) or None)


def missed(candidate: Candidate, reference: Reference, budget: Budget) -> dict[str, tuple[float, str]]:
    """Axis -> by how much a candidate misses it (comparable within the axis), and that in words."""
    misses: dict[str, tuple[float, str]] = {}
    parity, accuracy = candidate.parity, candidate.accuracy
    if parity is not None and not parity.ok:
        misses["parity"] = parity.max_rel, _parity_words(parity)
    if accuracy is not None:
        floors = (relative_floor(accuracy, reference, budget), budget.accuracy_least)
        short = max((floor - accuracy.value for floor in floors if floor is not None), default=0.0)
        if short > _ROUNDING:
            misses["accuracy"] = short, _accuracy_words(accuracy, short)
    if (
        budget.agreement is not None
        and candidate.agreement is not None
        and candidate.agreement < budget.agreement - _ROUNDING
    ):
        misses["agreement"] = (
            budget.agreement - candidate.agreement,
            f"answers {percent(candidate.agreement)} of the items as the reference does, "
            f"{percent(budget.agreement)} asked for",
        )
    if candidate.latency_ms is None and not misses:
        misses["latency"] = float("inf"), candidate.reason or "was not timed"
    for axis in axes(budget):
        if axis.miss(candidate) > _ROUNDING:
            misses[axis.name] = axis.miss(candidate), axis.words(candidate)
    return misses


def tested(candidate: Candidate, reference: Reference) -> tuple[Candidate, Reference] | None:
    """Both with the test split in place of the validation split, where the candidate answered them."""
    if candidate.test is None:
        return None
    return replace(candidate, accuracy=candidate.test, agreement=candidate.test_agreement, test=None), replace(
        reference, accuracy=reference.test_accuracy
    )


def all_missed(candidate: Candidate, reference: Reference, budget: Budget) -> dict[str, tuple[float, str]]:
    """What a candidate misses on the validation split; where that is nothing, on the test split."""
    misses, seen = missed(candidate, reference, budget), tested(candidate, reference)
    if misses or seen is None:
        return misses
    return {axis: (amount, f"on the test split: {words}") for axis, (amount, words) in missed(*seen, budget).items()}


def base_of(accuracy: Accuracy, reference: Reference) -> float | None:
    """What the accuracy is compared with: the reference's metric, or full agreement where there are no labels."""
    return reference.accuracy if accuracy.labelled else 1.0


def relative_floor(accuracy: Accuracy, reference: Reference, budget: Budget) -> float | None:
    """Least accuracy by the terms that are relative to the reference."""
    base = base_of(accuracy, reference)
    if base is None:
        return None
    floors = []
    if budget.accuracy_share is not None:
        floors.append(budget.accuracy_share * base)
    if budget.accuracy_drop is not None:
        floors.append(base - budget.accuracy_drop)
    return max(floors, default=None)


def _accuracy_words(accuracy: Accuracy, short: float) -> str:
    return (
        f"{accuracy.metric} {percent(accuracy.value, 2)} on {accuracy.items} items is {points(short)} below the "
        f"{percent(accuracy.value + short, 2)} asked for"
    )


def _parity_words(parity: Parity) -> str:
    where = f" in {parity.stage}" if parity.stage else ""
    return f"parity failed{where}: {parity.reason or f'differs from the reference by {number(parity.max_rel)}'}"


def shortfall(candidate: Candidate, reference: Reference, budget: Budget) -> str | None:
    """What a candidate's answers, before it is timed, fall short of the budget by, in words; None where they keep
    it.
    """
    misses = missed(
        replace(candidate, latency_ms=_ANY),
        reference,
        replace(budget, latency_ms=None, size_bytes=None, memory_bytes=None),
    )
    return "; ".join(words for _, words in misses.values()) or None


_ANY = Timing(median=0.0, p90=0.0, noise=0.0)
