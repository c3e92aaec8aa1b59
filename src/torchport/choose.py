"""Choose among measured candidates: who fits the budget, who is fastest, how sure that is, and all of it in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from . import stats
from .budget import megabytes, milliseconds, points
from .targets.base import PROFILES
from .types import PLAIN, Accuracy, Budget, Candidate, Choice, Met, Parity, Reference, Timing

WIDEST_TIE = 0.03
"""However noisy the machine, a winner is at most this much slower than the fastest."""

_ROUNDING = 1e-9


def choose(candidates: Sequence[Candidate], reference: Reference, budget: Budget, profile: str = "python", prefer: str = "latency") -> Choice:
    """Pick the fastest candidate that keeps the budget, for the profile asked for and for every other one.

    A candidate is rejected when parity failed or a measured figure breaks the budget. Of the others the one with the
    lowest median latency wins; those within the stated noise of it (at most 3 %) tie, and the smallest of them wins,
    then the first by id. One that is slower than its own float form, where that fits too, is never picked.

    What barely keeps the budget on the items that choose may break it on others. Where a candidate with `test` does, it is rejected, and only
    those go on that the items that choose show to keep the budget, by the 95 % interval, and the model as trained: picking the next best until
    one passes would leave the pick to chance again.

    Args:
        candidates: every row of the table except the reference; those `failed` or `absent` pass through.
        reference: what accuracy is held against.
        budget: an axis that it limits and that was not measured makes `met` "not shown".
        profile: one of `targets.base.PROFILES`, or `any`.
        prefer: `latency`, `size` or `memory`; by size or memory the least wins, then the fastest.

    Returns:
        The Choice; `chosen` is None, and `nearest` filled, when no candidate of the profile keeps the budget.
    """
    judged = [_judge(candidate, reference, budget) for candidate in candidates]
    refuted = [c.id for c in judged if c.status == "rejected" and not _misses(c, reference, budget)]
    going = [c for c in judged if c.status == "ok" and (not refuted or _sure(c, reference, budget))]
    races = {name: race for name in dict.fromkeys((profile, *PROFILES)) if (race := _race(going, judged, name, prefer))}
    front = _front([candidate for candidate in judged if candidate.status == "ok"])
    chosen_for = {name: race[0].id for name, race in races.items()}
    if profile not in races:
        return Choice(
            chosen=None,
            chosen_for=chosen_for,
            met="no",
            why=f"no candidate that runs on {profile} keeps the budget" if profile != "any" else "no candidate keeps the budget",
            met_because=_nothing(judged, profile),
            front=front,
            candidates=tuple(judged),
            nearest=_nearest([c for c in judged if _runs(c, profile)], reference, budget),
        )
    race = races[profile]
    met, because = _met(race[0], reference, budget)
    return Choice(
        chosen=race[0].id,
        chosen_for=chosen_for,
        met=met,
        why=_why(race, judged, reference, prefer, refuted),
        met_because=because,
        front=front,
        candidates=tuple(_lost(candidate, race, judged, profile, prefer) for candidate in judged),
        preferred={by: ranked[0].id for by in ("latency", *_LEAST) if (ranked := _race(going, judged, profile, by))},
    )


# --- the budget ---


@dataclass(frozen=True)
class _Axis:
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
        return f"{self.verb} {self.unit(value)}, {self.unit(value - limit)} ({value / limit - 1:.1%}) over the {self.unit(limit)} allowed"


def _axes(budget: Budget) -> list[_Axis]:
    return [
        _Axis("latency", budget.latency_ms, _latency, milliseconds, "answers in"),
        _Axis("size", budget.size_bytes, lambda c: c.size_bytes, megabytes, "takes"),
        _Axis("memory", budget.memory_bytes, lambda c: c.memory_bytes, megabytes, "needs memory of"),
    ]


def _latency(candidate: Candidate) -> float | None:
    return candidate.latency_ms.median if candidate.latency_ms else None


def _judge(candidate: Candidate, reference: Reference, budget: Budget) -> Candidate:
    """The candidate as `ok`, or as `rejected` with every reason."""
    if candidate.status in ("failed", "absent"):
        return candidate
    reasons = [words for _, words in _all_misses(candidate, reference, budget).values()]
    return replace(candidate, status="rejected" if reasons else "ok", reason="; ".join(reasons) or None)


def _misses(candidate: Candidate, reference: Reference, budget: Budget) -> dict[str, tuple[float, str]]:
    """Axis -> by how much a candidate misses it (comparable within the axis), and that in words."""
    misses: dict[str, tuple[float, str]] = {}
    parity, accuracy = candidate.parity, candidate.accuracy
    if parity is not None and not parity.ok:
        misses["parity"] = parity.max_rel, _parity_words(parity)
    if accuracy is not None:
        floors = (_relative_floor(accuracy, reference, budget), budget.accuracy_least)
        short = max((floor - accuracy.value for floor in floors if floor is not None), default=0.0)
        if short > _ROUNDING:
            misses["accuracy"] = short, _accuracy_words(accuracy, short)
    if budget.agreement is not None and candidate.agreement is not None and candidate.agreement < budget.agreement - _ROUNDING:
        misses["agreement"] = budget.agreement - candidate.agreement, f"answers {candidate.agreement:.1%} of the items as the reference does, {budget.agreement:.4g} asked for"
    if candidate.latency_ms is None and not misses:
        misses["latency"] = float("inf"), candidate.reason or "was not timed"
    for axis in _axes(budget):
        if axis.miss(candidate) > _ROUNDING:
            misses[axis.name] = axis.miss(candidate), axis.words(candidate)
    return misses


def _tested(candidate: Candidate, reference: Reference) -> tuple[Candidate, Reference] | None:
    """Both with the items that chose nothing in place of those that choose, where the candidate answered them."""
    if candidate.test is None:
        return None
    return replace(candidate, accuracy=candidate.test, agreement=candidate.test_agreement, test=None), replace(reference, accuracy=reference.test_accuracy)


def _all_misses(candidate: Candidate, reference: Reference, budget: Budget) -> dict[str, tuple[float, str]]:
    """What a candidate misses on the items that choose; where that is nothing, on those that chose nothing."""
    misses, seen = _misses(candidate, reference, budget), _tested(candidate, reference)
    if misses or seen is None:
        return misses
    return {axis: (amount, f"on items that chose nothing: {words}") for axis, (amount, words) in _misses(*seen, budget).items()}


def _sure(candidate: Candidate, reference: Reference, budget: Budget) -> bool:
    """Whether it is the model as trained, other items did not refute it, or the items that choose show that it keeps the budget."""
    if candidate.recipe == PLAIN or candidate.test is not None:
        return True
    items = candidate.accuracy.items if candidate.accuracy else 0
    alike = budget.agreement is None or (candidate.agreement is not None and items > 0 and stats.wilson(candidate.agreement, items)[0] >= budget.agreement)
    return alike and _met(candidate, reference, budget)[0] == "yes"


def _base(accuracy: Accuracy, reference: Reference) -> float | None:
    """What the accuracy is compared with: the reference's metric, or full agreement where there are no labels."""
    return reference.accuracy if accuracy.labelled else 1.0


def _relative_floor(accuracy: Accuracy, reference: Reference, budget: Budget) -> float | None:
    """Least accuracy by the terms that are relative to the reference."""
    base = _base(accuracy, reference)
    if base is None:
        return None
    floors = []
    if budget.accuracy_share is not None:
        floors.append(budget.accuracy_share * base)
    if budget.accuracy_drop is not None:
        floors.append(base - budget.accuracy_drop)
    return max(floors, default=None)


def _accuracy_words(accuracy: Accuracy, short: float) -> str:
    return f"{accuracy.metric} {accuracy.value:.4g} on {accuracy.items} items is {points(short)} below the {accuracy.value + short:.4g} asked for"


def _parity_words(parity: Parity) -> str:
    where = f" in {parity.stage}" if parity.stage else ""
    return f"parity failed{where}: {parity.reason or f'differs from the reference by {parity.max_rel:.2g}'}"


# --- who wins ---


def _runs(candidate: Candidate, profile: str) -> bool:
    return profile == "any" or profile in candidate.profiles


def _ms(candidate: Candidate) -> float:
    assert candidate.latency_ms is not None, "a candidate that keeps the budget was timed"
    return candidate.latency_ms.median


def _slower(candidate: Candidate, other: Candidate) -> bool:
    """Whether it is slower by more than the noise of the two, or than the widest tie."""
    assert candidate.latency_ms and other.latency_ms, "candidates that keep the budget were timed"
    width = min(WIDEST_TIE, max(candidate.latency_ms.noise, other.latency_ms.noise))
    return _ms(candidate) > _ms(other) * (1 + width)


def _tied(race: Sequence[Candidate]) -> list[Candidate]:
    """The fastest, those within the noise of it, and whoever is faster than one of those."""
    fastest = min(race, key=_ms)
    limit = max(_ms(candidate) for candidate in race if not _slower(candidate, fastest))
    return [candidate for candidate in race if _ms(candidate) <= limit]


_LEAST: dict[str, Callable[[Candidate], float]] = {"size": lambda c: _or_worst(c.size_bytes), "memory": lambda c: _or_worst(c.memory_bytes)}


def _race(going: Sequence[Candidate], judged: Sequence[Candidate], profile: str, prefer: str) -> list[Candidate]:
    """Those of a profile that may win, best first."""
    return _rank([c for c in going if _runs(c, profile) and (prefer in _LEAST or _parent(c, judged) is None)], prefer)


def _rank(race: Sequence[Candidate], prefer: str) -> list[Candidate]:
    """Best first. By latency: the tied by size, then id; the rest by latency. By size or memory: the least, then the fastest."""
    if prefer in _LEAST:
        return sorted(race, key=lambda c: (_LEAST[prefer](c), _ms(c), c.id))
    tied = _tied(race) if race else []
    rest = [candidate for candidate in race if candidate not in tied]
    return sorted(tied, key=lambda c: (_or_worst(c.size_bytes), c.id)) + sorted(rest, key=lambda c: (_ms(c), c.id))


def _parent(candidate: Candidate, judged: Sequence[Candidate]) -> Candidate | None:
    """The float form of a variant, where it keeps the budget too and is faster."""
    shape = candidate.id.removeprefix(f"{candidate.target}-{candidate.recipe}")
    for other in judged:
        if other.target == candidate.target and other.precision == PLAIN != candidate.precision and other.id == f"{other.target}-{other.recipe}{shape}" and _begins(candidate, other):
            return other if other.status == "ok" and _slower(candidate, other) else None
    return None


def _begins(candidate: Candidate, other: Candidate) -> bool:
    """Whether a recipe goes on from where another ends: `a+b` from `a`, and everything from the model as trained."""
    return other.recipe == candidate.recipe.rpartition("+")[0] or ("+" not in candidate.recipe and other.recipe == PLAIN)


def _front(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Ids that no other candidate beats or equals on accuracy, latency, size and memory at once, fastest first."""

    def figures(c: Candidate) -> tuple[float, ...]:
        return _or_worst(-c.accuracy.value if c.accuracy else None), _ms(c), _or_worst(c.size_bytes), _or_worst(c.memory_bytes)

    def beaten(c: Candidate) -> bool:
        mine = figures(c)
        return any(all(a <= b for a, b in zip(figures(o), mine, strict=True)) and (figures(o) != mine or o.id < c.id) for o in candidates)

    return tuple(c.id for c in sorted(candidates, key=lambda c: (_ms(c), c.id)) if not beaten(c))


def _or_worst(value: float | None) -> float:
    return float("inf") if value is None else value


def answers_short(candidate: Candidate, reference: Reference, budget: Budget) -> str | None:
    """What a candidate's answers, before it is timed, fall short of the budget by, in words; None where they keep it."""
    misses = _misses(replace(candidate, latency_ms=_ANY), reference, replace(budget, latency_ms=None, size_bytes=None, memory_bytes=None))
    return "; ".join(words for _, words in misses.values()) or None


_ANY = Timing(median=0.0, p90=0.0, noise=0.0)


# --- words ---


def _why(race: Sequence[Candidate], judged: Sequence[Candidate], reference: Reference, prefer: str, refuted: Sequence[str]) -> str:
    winner, tied = race[0], _tied(race) if prefer not in _LEAST else []
    threads = f" with {winner.threads} {'thread' if winner.threads == 1 else 'threads'}" if winner.threads else ""
    said = [f"{winner.id} answers in {milliseconds(_ms(winner))}{threads}"]
    if reference.latency_ms:
        said.append(_speed(winner, reference.latency_ms, "the reference"))
    if prefer in _LEAST:
        said.insert(0, f"{winner.id} has the least {prefer} of all that keep the budget: {megabytes(_LEAST[prefer](winner))}")
    said += [f"tied with {c.id} ({milliseconds(_ms(c))}) within the noise and {_tie_break(winner, c)}" for c in race[1:] if c in tied]
    said += [_speed(winner, _ms(c), c.id) for c in race[1:] if c not in tied]
    slower = [c.id for c in judged if c.status == "ok" and prefer not in _LEAST and _parent(c, judged) is not None]
    if slower:
        said.append(f"slower than their float form on this machine: {', '.join(slower)}")
    if refuted:
        said.append(f"kept the budget on the items that choose and broke it on others, so that only what is shown to keep it went on: {', '.join(refuted)}")
    return "; ".join(said)


def _speed(winner: Candidate, other_ms: float, name: str) -> str:
    ratio = other_ms / _ms(winner)
    return f"{ratio:.3g}x faster than {name}" if ratio >= 1 else f"{1 / ratio:.3g}x slower than {name}"


def _tie_break(winner: Candidate, other: Candidate) -> str:
    if winner.size_bytes is not None and winner.size_bytes < _or_worst(other.size_bytes):
        return f"smaller ({megabytes(winner.size_bytes)} against {megabytes(other.size_bytes) if other.size_bytes else 'an unknown size'})"
    return "first by name at the same size"


def _lost(candidate: Candidate, race: Sequence[Candidate], judged: Sequence[Candidate], profile: str, prefer: str) -> Candidate:
    """The row with its final status and, for one that fits and did not win, what it lost by."""
    winner = race[0]
    if candidate.id == winner.id:
        return replace(candidate, status="chosen")
    if candidate.status != "ok":
        return candidate
    times = f"{milliseconds(_ms(candidate))} against {milliseconds(_ms(winner))}"
    parent = None if prefer in _LEAST else _parent(candidate, judged)
    if not _runs(candidate, profile):
        reason = f"does not run on {profile}: for {', '.join(candidate.profiles) or 'no profile'}"
    elif parent is not None:
        reason = f"slower than its float form {parent.id} ({milliseconds(_ms(candidate))} against {milliseconds(_ms(parent))})"
    elif candidate not in race:
        reason = "keeps the budget on the items that choose, which are too few to show it"
    elif prefer in _LEAST:
        reason = f"more {prefer} than {winner.id}: {megabytes(_LEAST[prefer](candidate))} against {megabytes(_LEAST[prefer](winner))}"
    elif candidate in _tied(race):
        reason = f"tied with {winner.id} within the noise ({times}), which is {_tie_break(winner, candidate)}"
    else:
        reason = f"{_ms(candidate) / _ms(winner):.3g}x the time of {winner.id} ({times})"
    return replace(candidate, reason=reason)


def _met(winner: Candidate, reference: Reference, budget: Budget) -> tuple[Met, str]:
    """Whether the winner is shown to keep the budget, and what that rests on: items that chose nothing, where it answered such."""
    seen = _tested(winner, reference)
    if winner.test and seen:
        met, because = _met(*seen, budget)
        return met, f"on {winner.test.items} items that chose nothing: {because}"
    doubts, proofs = [], []
    for axis in _axes(budget):
        value = axis.value(winner)
        if axis.limit is not None and value is None:
            doubts.append(f"{axis.name} cannot be measured here")
        elif axis.limit is not None and value is not None:
            proofs.append(f"{axis.name} {axis.unit(value)} of {axis.unit(axis.limit)} allowed")
    for shown, words in _accuracy_evidence(winner, reference, budget):
        (proofs if shown else doubts).append(words)
    return ("not shown", "; ".join(doubts)) if doubts else ("yes", "; ".join(proofs) or "the budget limits nothing")


def _accuracy_evidence(winner: Candidate, reference: Reference, budget: Budget) -> list[tuple[bool, str]]:
    """One (shown, in words) for the relative and for the absolute accuracy terms, where the budget has them."""
    relative = budget.accuracy_share is not None or budget.accuracy_drop is not None
    accuracy = winner.accuracy
    if accuracy is None or accuracy.items == 0:
        made_up = " on made-up inputs only" if winner.parity and winner.parity.made_up else ""
        asked = relative or budget.accuracy_least is not None
        return [(False, f"accuracy was not measured: there is no data, and parity holds{made_up}")] if asked else []
    found = []
    floor, base = _relative_floor(accuracy, reference, budget), _base(accuracy, reference)
    if relative and floor is not None and base is not None:
        allowed = base - floor
        seen = f"{accuracy.items} items leave a loss of up to {points(max(0.0, -accuracy.interval[0]))} open (95 % interval), {points(allowed)} allowed"
        shown = accuracy.interval[0] >= -allowed
        needed = stats.items_needed(allowed, *stats.discordance(accuracy.interval, accuracy.value - base, accuracy.items))
        found.append((shown, seen if shown else f"{seen}: {_needed(needed)}"))
    elif relative:
        found.append((False, "the reference's accuracy was not measured"))
    if budget.accuracy_least is not None:
        least = stats.wilson(accuracy.value, accuracy.items)[0]
        seen = f"{accuracy.items} items show an accuracy of at least {least:.3g} (95 % interval), {budget.accuracy_least:g} asked for"
        shown = least >= budget.accuracy_least
        found.append((shown, seen if shown else f"{seen}: {_needed(stats.items_needed_for(budget.accuracy_least, accuracy.value))}"))
    return found


def _needed(items: int | None) -> str:
    return "no number of items would show it at this rate" if items is None else f"about {items:,} items would be needed if they go on as these did"


def _nothing(judged: Sequence[Candidate], profile: str) -> str:
    """Why nothing is left: every candidate with its reason, those of other profiles counted."""
    here = [c for c in judged if _runs(c, profile) or c.status in ("failed", "absent")]
    said = [f"{c.id} {c.status}: {c.reason}" for c in here]
    elsewhere = len(judged) - len(here)
    if elsewhere:
        said.append(f"{elsewhere}{' more' if said else ''} {'does' if elsewhere == 1 else 'do'} not run on {profile}")
    return "; ".join(said) or "there was no candidate"


def _nearest(judged: Sequence[Candidate], reference: Reference, budget: Budget) -> dict[str, str]:
    """Axis -> the candidate that misses it by least, one that fails parity only where there is no other, in words."""
    found: dict[str, list[tuple[bool, float, str]]] = {}
    for candidate in judged:
        if candidate.status == "rejected":
            misses = _all_misses(candidate, reference, budget)
            for axis, (amount, words) in misses.items():
                found.setdefault(axis, []).append(("parity" in misses, amount, f"{candidate.id} {words}"))
    return {axis: min(rows)[2] for axis, rows in found.items()}
