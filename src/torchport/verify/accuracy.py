"""The task metric of a candidate beside its reference: value, items, and the interval of the paired difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..stats import paired_interval
from ..tasks import Item, Pipeline, Task
from ..tasks.base import Grade
from ..types import Accuracy


@dataclass(frozen=True)
class Answered:
    """One presented result, and how right it is; None where nothing tells."""

    result: Mapping[str, Any]
    grade: Grade | None


def answered(pipeline: Pipeline, values: Mapping[str, Any], item: Item) -> Answered:
    """The answer to an item, graded."""
    return Answered(values["result"], pipeline.grade(values, item.label))


def judge(task: Task, found: Sequence[Answered | None], reference: Sequence[Answered | None]) -> tuple[Accuracy, float]:
    """Accuracy over the items that the reference could answer, and the share of them answered as the reference does.

    Where every item can be graded, by one metric, the value is the mean grade; else it is the agreement with the reference.
    """
    rows = [(got, ref) for got, ref in zip(found, reference, strict=True) if ref is not None]
    agreed = [float(got is not None and task.agree(got.result, ref.result)) for got, ref in rows]
    grades = [ref.grade for _, ref in rows if ref.grade is not None]
    metrics = {grade.metric for grade in grades}
    graded = len(grades) == len(rows) > 0 and len(metrics) == 1
    if graded:
        scores, known = [got.grade.value if got is not None and got.grade is not None else 0.0 for got, _ in rows], [grade.value for grade in grades]
    else:
        scores, known = agreed, [1.0] * len(rows)
    value = sum(scores) / max(len(scores), 1)
    accuracy = Accuracy(value=value, items=len(rows), interval=paired_interval(known, scores), metric=metrics.pop() if graded else "agreement", labelled=graded)
    return accuracy, sum(agreed) / max(len(agreed), 1)
