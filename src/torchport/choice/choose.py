"""Choose among measured candidates: who fits the budget, who is fastest, how sure that is, and all of it in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from .. import stats
from ..figures import milliseconds, multiple, percent, points, size
from ..targets.base import PROFILES
from ..types import PLAIN, Budget, Candidate, Choice, Met, Reference
from .limits import all_missed, axes, base_of, missed, relative_floor, tested
from .limits import judged as held_against

WIDEST_TIE = 0.03
"""However noisy the machine, a winner is at most this much slower than the fastest."""


def choose(
    candidates: Sequence[Candidate],
    reference: Reference,
    budget: Budget,
    profile: str = "python",
    prefer: str = "latency",
) -> Choice:
    """Pick the fastest candidate that keeps the budget, for the profile asked for and for every other one.

    A candidate is rejected when parity failed or a measured figure breaks the budget. Of the others the one with the
    lowest median latency wins; those within the stated noise of it (at most 3 %) tie, and the smallest of them wins,
    then the first by id. One that is slower than its own floating-point parent, where that fits too, is never picked.

    What barely keeps the budget on the validation split may break it on the test split. Where a candidate with `test`
    does, it is rejected, and only those go on that the validation split shows to keep the budget, by the 95 % interval,
    and the model as trained: picking the next best until one passes would leave the pick to chance again.

    Args:
        candidates: every row of the table except the reference; those `failed`, `absent` or `unverified` pass through.
        reference: what accuracy is held against.
        budget: an axis that it limits and that was not measured makes `met` "not shown".
        profile: one of `targets.base.PROFILES`, or `any`.
        prefer: `latency`, `size` or `memory`; by size or memory the least wins, then the fastest.

    Returns:
        The Choice; `chosen` is None, and `nearest` filled, when no candidate of the profile keeps the budget.
    """
    judged = [held_against(candidate, reference, budget) for candidate in candidates]
    refuted = [c.id for c in judged if c.status == "rejected" and not c.same_as and not missed(c, reference, budget)]
    going = [c for c in judged if c.status == "ok" and (not refuted or _sure(c, reference, budget))]
    races = {name: race for name in dict.fromkeys((profile, *PROFILES)) if (race := _race(going, judged, name, prefer))}
    front = _front([candidate for candidate in judged if candidate.status == "ok"])
    chosen_for = {name: race[0].id for name, race in races.items()}
    if profile not in races:
        return Choice(
            chosen=None,
            chosen_for=chosen_for,
            met="no",
            why=f"no candidate that runs on {profile} keeps the budget"
            if profile != "any"
            else "no candidate keeps the budget",
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


# --- who wins ---


def _sure(candidate: Candidate, reference: Reference, budget: Budget) -> bool:
    """Whether it is the model as trained, the test split did not refute it, or the validation split shows that it keeps
    the budget.
    """
    if candidate.recipe == PLAIN or candidate.test is not None:
        return True
    items = candidate.accuracy.items if candidate.accuracy else 0
    alike = budget.agreement is None or (
        candidate.agreement is not None
        and items > 0
        and stats.wilson(candidate.agreement, items)[0] >= budget.agreement
    )
    return alike and _met(candidate, reference, budget)[0] == "yes"


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


_LEAST: dict[str, Callable[[Candidate], float]] = {
    "size": lambda c: _or_worst(c.size_bytes),
    "memory": lambda c: _or_worst(c.memory_bytes),
}


def _race(going: Sequence[Candidate], judged: Sequence[Candidate], profile: str, prefer: str) -> list[Candidate]:
    """Those of a profile that may win, best first."""
    return _rank([c for c in going if _runs(c, profile) and (prefer in _LEAST or _parent(c, judged) is None)], prefer)


def _rank(race: Sequence[Candidate], prefer: str) -> list[Candidate]:
    """Best first. By latency: the tied by size, then id; the rest by latency. By size or memory: the least, then the
    fastest.
    """
    if prefer in _LEAST:
        return sorted(race, key=lambda c: (_LEAST[prefer](c), _ms(c), c.id))
    tied = _tied(race) if race else []
    rest = [candidate for candidate in race if candidate not in tied]
    return sorted(tied, key=lambda c: (_or_worst(c.size_bytes), c.id)) + sorted(rest, key=lambda c: (_ms(c), c.id))


def _parent(candidate: Candidate, judged: Sequence[Candidate]) -> Candidate | None:
    """The floating-point parent of a variant, where it keeps the budget too and is faster."""
    shape = candidate.id.removeprefix(f"{candidate.target}-{candidate.recipe}")
    for other in judged:
        if (
            other.target == candidate.target
            and other.precision == PLAIN != candidate.precision
            and other.id == f"{other.target}-{other.recipe}{shape}"
            and _begins(candidate, other)
        ):
            return other if other.status == "ok" and _slower(candidate, other) else None
    return None


def _begins(candidate: Candidate, other: Candidate) -> bool:
    """Whether a recipe goes on from where another ends: `a+b` from `a`, and everything from the model as trained."""
    return other.recipe == candidate.recipe.rpartition("+")[0] or (
        "+" not in candidate.recipe and other.recipe == PLAIN
    )


def _front(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Ids that no other candidate beats or equals on accuracy, latency, size and memory at once, fastest first."""

    def figures(c: Candidate) -> tuple[float, ...]:
        return (
            _or_worst(-c.accuracy.value if c.accuracy else None),
            _ms(c),
            _or_worst(c.size_bytes),
            _or_worst(c.memory_bytes),
        )

    def beaten(c: Candidate) -> bool:
        mine = figures(c)
        return any(
            all(a <= b for a, b in zip(figures(o), mine, strict=True)) and (figures(o) != mine or o.id < c.id)
            for o in candidates
        )

    return tuple(c.id for c in sorted(candidates, key=lambda c: (_ms(c), c.id)) if not beaten(c))


def _or_worst(value: float | None) -> float:
    return float("inf") if value is None else value


# --- words ---


def _why(
    race: Sequence[Candidate], judged: Sequence[Candidate], reference: Reference, prefer: str, refuted: Sequence[str]
) -> str:
    winner, tied = race[0], _tied(race) if prefer not in _LEAST else []
    threads = f" with {winner.threads} {'thread' if winner.threads == 1 else 'threads'}" if winner.threads else ""
    said = [f"{winner.id} answers in {milliseconds(_ms(winner))}{threads}"]
    if reference.latency_ms:
        noise = reference.latency.noise if reference.latency else 0.0
        said.append(_speed(winner, reference.latency_ms, noise, "the reference"))
    if prefer in _LEAST:
        said.insert(
            0, f"{winner.id} has the least {prefer} of all that keep the budget: {size(_LEAST[prefer](winner))}"
        )
    said += [
        f"tied with {c.id} ({milliseconds(_ms(c))}) within the noise and {_tie_break(winner, c)}"
        for c in race[1:]
        if c in tied
    ]
    said += [_speed(winner, _ms(c), _noise(c), c.id) for c in race[1:] if c not in tied]
    slower = [c.id for c in judged if c.status == "ok" and prefer not in _LEAST and _parent(c, judged) is not None]
    if slower:
        said.append(f"no faster than their floating-point parents on this machine: {', '.join(slower)}")
    if refuted:
        said.append(
            "kept the budget on the validation split and broke it on the test split, so that only what is shown to "
            f"keep it went on: {', '.join(refuted)}"
        )
    return "; ".join(said)


def _speed(winner: Candidate, other_ms: float, noise: float, name: str) -> str:
    ratio = other_ms / _ms(winner)
    if not stats.told_apart(_ms(winner), other_ms, max(_noise(winner), noise)):
        return f"as fast as {name} ({milliseconds(other_ms)}): the difference is within the timing noise of one file"
    return f"{multiple(ratio)} faster than {name}" if ratio >= 1 else f"{multiple(1 / ratio)} slower than {name}"


def _noise(candidate: Candidate) -> float:
    return candidate.latency_ms.noise if candidate.latency_ms else 0.0


def _apart(one: Candidate, other: Candidate) -> bool:
    return stats.told_apart(_ms(one), _ms(other), max(_noise(one), _noise(other)))


def _tie_break(winner: Candidate, other: Candidate) -> str:
    if winner.size_bytes is not None and winner.size_bytes < _or_worst(other.size_bytes):
        return (
            f"smaller ({size(winner.size_bytes)} against "
            f"{size(other.size_bytes) if other.size_bytes else 'an unknown size'})"
        )
    return "first by name at the same size"


def _lost(
    candidate: Candidate, race: Sequence[Candidate], judged: Sequence[Candidate], profile: str, prefer: str
) -> Candidate:
    """The row with its final status and, for one that fits and did not win, what it lost by."""
    winner = race[0]
    if candidate.id == winner.id:
        return replace(candidate, status="chosen")
    if candidate.status != "ok":
        return candidate
    times = f"{milliseconds(_ms(candidate))} against {milliseconds(_ms(winner))}"
    parent = None if prefer in _LEAST else _parent(candidate, judged)
    if not _runs(candidate, profile):
        elsewhere = f"for {', '.join(candidate.profiles)}" if candidate.profiles else "it needs PyTorch there"
        reason = f"does not run on {profile}: {elsewhere}"
    elif parent is not None:
        verb = "slower" if _apart(candidate, parent) else "no faster"
        reason = (
            f"{verb} than its floating-point parent {parent.id} ({milliseconds(_ms(candidate))} against "
            f"{milliseconds(_ms(parent))})"
        )
    elif candidate not in race:
        reason = "keeps the budget on the validation split, which is too small to show it"
    elif prefer in _LEAST:
        reason = (
            f"more {prefer} than {winner.id}: {size(_LEAST[prefer](candidate))} against {size(_LEAST[prefer](winner))}"
        )
    elif candidate in _tied(race):
        reason = f"tied with {winner.id} within the noise ({times}), which is {_tie_break(winner, candidate)}"
    elif not _apart(candidate, winner):
        reason = f"not told apart from {winner.id} ({times}): the difference is within the timing noise of one file"
    else:
        reason = f"{multiple(_ms(candidate) / _ms(winner))} the time of {winner.id} ({times})"
    return replace(candidate, reason=reason)


def _met(winner: Candidate, reference: Reference, budget: Budget) -> tuple[Met, str]:
    """Whether the winner is shown to keep the budget, and what that rests on: the test split, where it answered
    that.
    """
    seen = tested(winner, reference)
    if winner.test and seen:
        met, because = _met(*seen, budget)
        return met, f"on the test split: {because}"
    doubts, proofs = [], []
    for axis in axes(budget):
        value = axis.value(winner)
        if axis.limit is not None and value is None:
            doubts.append(f"{axis.name} cannot be measured here")
        elif axis.limit is not None and value is not None:
            proofs.append(f"{axis.name} {axis.unit(value)} of {axis.unit(axis.limit)} allowed")
    for shown, words in _accuracy_evidence(winner, reference, budget):
        (proofs if shown else doubts).append(words)
    if not doubts and not proofs:
        return "not shown", "no budget was given"
    return ("not shown", "; ".join(doubts)) if doubts else ("yes", "; ".join(proofs))


def _accuracy_evidence(winner: Candidate, reference: Reference, budget: Budget) -> list[tuple[bool, str]]:
    """One (shown, in words) for the relative and for the absolute accuracy terms, where the budget has them."""
    relative = budget.accuracy_share is not None or budget.accuracy_drop is not None
    accuracy = winner.accuracy
    if accuracy is None or accuracy.items == 0:
        made_up = " on made-up inputs only" if winner.parity and winner.parity.made_up else ""
        asked = relative or budget.accuracy_least is not None
        return [(False, f"accuracy was not measured: there is no data, and parity holds{made_up}")] if asked else []
    found = []
    floor, base = relative_floor(accuracy, reference, budget), base_of(accuracy, reference)
    if relative and floor is not None and base is not None:
        allowed = base - floor
        seen = (
            f"{accuracy.items} items leave a loss of up to {points(max(0.0, -accuracy.interval[0]))} open (95 % "
            f"interval), {points(allowed)} allowed"
        )
        shown = accuracy.interval[0] >= -allowed
        needed = stats.items_needed(
            allowed, *stats.discordance(accuracy.interval, accuracy.value - base, accuracy.items)
        )
        found.append((shown, seen if shown else f"{seen}: {_needed(needed)}"))
    elif relative:
        found.append((False, "the reference's accuracy was not measured"))
    if budget.accuracy_least is not None:
        least = stats.wilson(accuracy.value, accuracy.items)[0]
        seen = (
            f"{accuracy.items} items show an accuracy of at least {percent(least, 2)} (95 % interval), "
            f"{percent(budget.accuracy_least, 2)} asked for"
        )
        shown = least >= budget.accuracy_least
        found.append(
            (
                shown,
                seen if shown else f"{seen}: {_needed(stats.items_needed_for(budget.accuracy_least, accuracy.value))}",
            )
        )
    return found


def _needed(items: int | None) -> str:
    return (
        "no number of items would show it at this rate"
        if items is None
        else f"about {items:,} items would be needed if they go on as these did"
    )


def _nothing(judged: Sequence[Candidate], profile: str) -> str:
    """Why nothing is left: every candidate with its reason, those of other profiles counted."""
    here = [c for c in judged if _runs(c, profile) or c.status in ("failed", "absent", "unverified")]
    said = [f"{c.id} {c.status}: {c.reason}" for c in here]
    elsewhere = len(judged) - len(here)
    if elsewhere:
        said.append(f"{elsewhere}{' more' if said else ''} {'does' if elsewhere == 1 else 'do'} not run on {profile}")
    return "; ".join(said) or "there was no candidate"


def _nearest(judged: Sequence[Candidate], reference: Reference, budget: Budget) -> dict[str, str]:
    """Axis -> the candidate that misses it by least, one that fails parity only where there is no other, in words."""
    found: dict[str, list[tuple[bool, float, str]]] = {}
    for candidate in judged:
        if candidate.status == "rejected" and not candidate.same_as:
            misses = all_missed(candidate, reference, budget)
            for axis, (amount, words) in misses.items():
                found.setdefault(axis, []).append(("parity" in misses, amount, f"{candidate.id} {words}"))
    return {axis: min(rows)[2] for axis, rows in found.items()}
