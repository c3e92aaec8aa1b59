"""The task metric of a candidate beside its reference: value, items, and the interval of the paired difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..stats import paired_interval
from ..tasks import Item, Task
from ..types import Accuracy


def judge(task: Task, items: Sequence[Item], results: Sequence[Mapping[str, Any] | None], reference: Sequence[Mapping[str, Any] | None]) -> tuple[Accuracy, float]:
    """Accuracy over the items that the reference could answer, and the share of them answered as the reference does.

    With labels the value is the task metric; without, it is the agreement with the reference.
    """
    rows = [(item, got, ref) for item, got, ref in zip(items, results, reference, strict=True) if ref is not None]
    agreed = [float(got is not None and task.agree(got, ref)) for _, got, ref in rows]
    labelled = bool(rows) and all(item.label is not None for item, _, _ in rows)
    if labelled:
        scores = [task.score(got, item.label) if got is not None else 0.0 for item, got, _ in rows]
        known = [task.score(ref, item.label) for item, _, ref in rows]
    else:
        scores, known = agreed, [1.0] * len(rows)
    value = sum(scores) / max(len(scores), 1)
    accuracy = Accuracy(value=value, items=len(rows), interval=paired_interval(known, scores), metric=task.metric if labelled else "agreement", labelled=labelled)
    return accuracy, sum(agreed) / max(len(agreed), 1)
