"""One row of build/compression.json, and the interval of a metric that is not a mean over items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

RESAMPLED = 1000


@dataclass(frozen=True)
class Row:
    """What one point of one model showed, against the best fp32 candidate of the same run.

    Attributes:
        point: `small` and `fast` are what torchport chose by size and by latency; others name a recipe.
        reference, value: the metric of the fp32 model and of the point on the test split.
        loss: how much worse it is, in the metric's own unit; `loss_upper` is the upper end of the paired 95 % interval.
        agreement: share of the test items answered as the fp32 model does.
        smaller, faster: ratios of bytes on disk and of median latency; above 1 is better than fp32.
        test_split: whether the items are a test split, answered once.
        seconds: of the deploy.
        notes: figures beyond the table, by name.
    """

    model: str
    point: str
    target: str
    recipe: str
    metric: str
    reference: float
    value: float
    loss: float
    loss_upper: float
    agreement: float
    items: int
    smaller: float
    faster: float
    test_split: bool
    seconds: float
    notes: dict[str, float | str] = field(default_factory=dict)


def bootstrap(
    metric: Callable[[Sequence[int]], tuple[float, float]], items: int, *, larger_is_better: bool = True
) -> float:
    """Upper end of the 95 % interval of a loss, by resampling items in pairs (Koehn 2004, Bisani and Ney 2004).

    Args:
        metric: item numbers, some more than once -> (reference, value) over them.
    """
    random = np.random.default_rng(0)
    sign = 1 if larger_is_better else -1
    losses = []
    for _ in range(RESAMPLED):
        reference, value = metric(random.integers(0, items, items).tolist())
        losses.append(sign * (reference - value))
    return float(np.quantile(losses, 0.975))
