"""What a user should know before believing a Bundle: labels that were guessed, and a model that is poor on its own
labelled data.

Every target is held against the eager model, so that a wrong mean, a wrong order of labels or a wrong tokenizer shows
nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..figures import percent
from ..stats import wilson
from ..tasks import Item
from ..tasks.base import LEAST
from ..tasks.facts import Facts
from ..verification.accuracy import Answered, mean_grade

if TYPE_CHECKING:
    from .assemble import Assembled
    from .prove import ReferenceAnswers

ENOUGH = 20
"""From so many items on, a share has to be shown to be above a constant answer's; of fewer, it has to be above it."""

RELABELLED = 0.8
"""The share of items right under another order of labels from which on that order is named as the cause."""


def about_data(assembled: Assembled, proven: ReferenceAnswers) -> tuple[str, ...]:
    """A sentence each."""
    return (*assembled.warnings, *poor(assembled, proven.answers))


def poor(assembled: Assembled, answers: Sequence[Answered | None]) -> list[str]:
    """Says that the model as trained is poor on labelled items, and what may cause it.

    A class counts as found no better than by a constant answer where the share of right answers is at most that of the
    most frequent label; of `ENOUGH` items or more, where its 95 % interval reaches down to that. A share whose whole
    interval is below one half is named too, for few models are deployed on purpose that are more often wrong than
    right. Other metrics are held against `LEAST`.
    """
    rows = [
        (item, one)
        for item, one in zip(assembled.items, answers, strict=True)
        if one is not None and item.label is not None
    ]
    value = mean_grade([one for _, one in rows]) if rows else None
    if value is None or rows[0][1].grade is None:
        return []
    metric, count = rows[0][1].grade.metric, len(rows)
    if metric in LEAST:
        if value >= LEAST[metric]:
            return []
        found = f"the model as trained reaches {metric} {percent(value)} on {count} labelled items"
    else:
        label, most = Counter(str(item.label) for item, _ in rows).most_common(1)[0]
        constant = most / count if most < count else 0.5
        low, high = wilson(value, count)
        if value > constant and not (count >= ENOUGH and low <= constant) and high >= 0.5:
            return []
        found = (
            f"the model as trained answers {round(value * count)} of {count} labelled items right ({percent(value)})"
        )
        if most < count:
            found += (
                f"; the constant answer '{_name(label, assembled.facts)}' would be right on {percent(most / count)}"
            )
    return [f"{found}. {_cause(rows, assembled, value)}"]


def _cause(rows: Sequence[tuple[Item, Answered]], assembled: Assembled, value: float) -> str:
    swapped = _relabelled(rows)
    if swapped and value < RELABELLED:
        facts = assembled.facts
        pairs = ", ".join(f"{_name(a, facts)} is answered as {_name(b, facts)}" for a, b in swapped[:4])
        return f"The labels are in another order than the model's outputs: {pairs}"
    guessed = [name for name in assembled.assumed if name in assembled.task.suspects]
    suspects = ", ".join(assembled.task.suspects)
    return f"If training showed better, one of these facts is likely wrong: {suspects}" + (
        f" (nobody stated {', '.join(guessed)})" if guessed else ""
    )


def _relabelled(rows: Sequence[tuple[Item, Answered]]) -> list[tuple[str, str]]:
    """Pairs of (label, what is answered instead) where one to one another order of labels makes most answers right;
    else nothing.
    """
    seen: dict[str, Counter[str]] = {}
    for item, one in rows:
        labels: Any = one.result.get("labels")
        if not labels or not isinstance(item.label, int):
            return []
        seen.setdefault(str(item.label), Counter())[str(labels[0]["index"])] += 1
    best = {label: answers.most_common(1)[0] for label, answers in seen.items()}
    one_to_one = len({answer for answer, _ in best.values()}) == len(best) > 1
    right = sum(count for _, count in best.values())
    if not one_to_one or right < RELABELLED * len(rows) or len(rows) < 2 * len(best):
        return []
    return sorted((label, answer) for label, (answer, _) in best.items() if label != answer)


def _name(label: str, facts: Facts) -> str:
    names = getattr(facts, "labels", None)
    return str(names[int(label)]) if names and label.isdecimal() and int(label) < len(names) else label
