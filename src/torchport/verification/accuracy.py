"""The task metric of a candidate beside its reference: value, items, and the interval of the paired difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..stats import paired_interval
from ..tasks import Item, Pipeline, Task
from ..tasks.parts import Grade
from ..types import Accuracy


@dataclass(frozen=True)
class Answered:
    """One presented result, and how right it is; None where nothing tells."""

    result: Mapping[str, Any]
    grade: Grade | None


def answered(pipeline: Pipeline, values: Mapping[str, Any], item: Item) -> Answered:
    """The answer to an item, graded."""
    return Answered(values["result"], pipeline.grade(values, item.label))


def results_of(answers: Sequence[Answered | None]) -> list[Mapping[str, Any] | None]:
    """One presented result an item."""
    return [None if one is None else one.result for one in answers]


def mean_grade(answers: Sequence[Answered | None]) -> float | None:
    """The metric over the items that were answered; None where not every answer can be graded, by one metric."""
    given = [one for one in answers if one is not None]
    return sum(one.grade.value for one in given if one.grade) / len(given) if _metric(given) else None


def judge(task: Task, found: Sequence[Answered | None], reference: Sequence[Answered | None]) -> tuple[Accuracy, float]:
    """Accuracy over the items that the reference could answer, and the share of them answered as the reference does.

    Where every item can be graded, by one metric, the value is the mean grade; else it is the agreement with the
    reference.
    """
    rows = [(got, ref) for got, ref in zip(found, reference, strict=True) if ref is not None]
    agreed = [float(got is not None and task.agree(got.result, ref.result)) for got, ref in rows]
    metric = _metric([ref for _, ref in rows])
    if metric:
        scores, known = (
            [one.grade.value if one is not None and one.grade is not None else 0.0 for one in side]
            for side in zip(*rows, strict=True)
        )
    else:
        scores, known = agreed, [1.0] * len(rows)
    value = sum(scores) / max(len(scores), 1)
    accuracy = Accuracy(
        value=value,
        items=len(rows),
        interval=paired_interval(known, scores),
        metric=metric or "agreement",
        labelled=metric is not None,
    )
    return accuracy, sum(agreed) / max(len(agreed), 1)


def _metric(answers: Sequence[Answered]) -> str | None:
    """The metric that every answer is graded by; None where there is none, or more than one."""
    found = {one.grade and one.grade.metric for one in answers}
    return found.pop() if len(found) == 1 else None
