"""Boxes as arrays [n, 4] of x1, y1, x2, y2: overlap, non-maximum suppression, the best of many, F1. numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SAME = 0.5
"""Overlap from which a found box counts as the right one, as in PASCAL VOC."""


def overlaps(one: np.ndarray, other: np.ndarray, *, pixel: int = 0, of_smaller: bool = False) -> np.ndarray:
    """Intersection over union of each box with each other box.

    Args:
        one, other: [n, 4] and [m, 4].
        pixel: 1 where boxes include the pixels of their right and lower edge, as in older detectors.
        of_smaller: over the smaller of the two boxes instead of the union.

    Returns:
        [n, m], 0 for boxes without an area.
    """
    corner = np.maximum(one[:, None, :2], other[None, :, :2])
    sides = (np.minimum(one[:, None, 2:], other[None, :, 2:]) - corner + pixel).clip(min=0)
    shared = sides[..., 0] * sides[..., 1]
    first, second = (np.prod(boxes[:, 2:] - boxes[:, :2] + pixel, axis=1) for boxes in (one, other))
    whole = np.minimum(first[:, None], second) if of_smaller else first[:, None] + second - shared
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0))


def suppress(
    boxes: np.ndarray, scores: np.ndarray, most: float, classes: np.ndarray | None = None, **how: Any
) -> np.ndarray:
    """Non-maximum suppression: go down the scores, and drop what overlaps a kept box of its class by more than `most`.

    Args:
        boxes: [n, 4].
        scores: [n]; of equal ones the first comes first.
        classes: [n], or None: all are of one.
        how: as in `overlaps`.

    Returns:
        Indices of the kept boxes, the highest score first.
    """
    order = np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        doubled = overlaps(boxes[best : best + 1], boxes[order], **how)[0] > most
        order = order[~(doubled if classes is None else doubled & (classes[order] == classes[best]))]
    return np.array(kept, np.int64)


def best(boxes: np.ndarray, scores: np.ndarray, *, threshold: float, nms: float | None, top: int) -> np.ndarray:
    """The answers among all that a network proposes: the `top` highest scores above the threshold, after non-maximum
    suppression.

    Overlaps are looked for among those `top` only, so that a graph of a fixed size can do the same
    (`detection_graphs.Best`).

    Args:
        boxes: float32 [n, 4].
        scores: float32 [n, classes].
        nms: greatest overlap of two boxes of one class, or None where none is needed.

    Returns:
        float32 [min(top, n * classes), 6]: x1, y1, x2, y2, score, class by rank; rows of zeros for what is not an
        answer.
    """
    rows, classes = np.nonzero(scores > threshold)
    values = scores[rows, classes]
    order = np.argsort(-values, kind="stable")[:top]
    found = np.zeros((min(top, scores.size), 6), np.float32)
    found[: len(order)] = np.column_stack([boxes[rows[order]], values[order], classes[order]])
    if nms is not None and len(order):
        dropped = np.setdiff1d(
            np.arange(len(order)), suppress(found[: len(order), :4], found[: len(order), 4], nms, classes[order])
        )
        found[dropped] = 0
    return found


def matched(
    found: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]], least: float = SAME
) -> tuple[int, int]:
    """How many found boxes are right, and how many are judged at all.

    The surest takes the wanted box of its class that it overlaps most, by `least` or more, and so on down. What falls
    on a wanted box with `crowd` (a mass of things labelled as one) is neither right nor wrong.

    Args:
        found: `{"index", "score", "box"}`, as a result lists them.
        wanted: `{"index", "box"}`, with `crowd` where it is one.
    """
    if not found or not wanted:
        return 0, len(found)
    order = sorted(found, key=lambda one: -one["score"])
    overlap = overlaps(*(np.array([one["box"] for one in side], np.float64) for side in (order, wanted)))
    overlap[np.array([one["index"] for one in order])[:, None] != np.array([one["index"] for one in wanted])] = 0
    crowd = np.array([bool(one.get("crowd")) for one in wanted])
    right = judged = 0
    for row in overlap:
        place = int(np.argmax(np.where(crowd, 0, row)))
        if row[place] >= least and not crowd[place]:
            overlap[:, place] = 0
            right, judged = right + 1, judged + 1
        elif not (row[crowd] >= least).any():
            judged += 1
    return right, judged


def f1(found: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]], least: float = SAME) -> float:
    """The harmonic mean of precision and recall of one picture; 1 where there is nothing to find and nothing was
    found.
    """
    right, judged = matched(found, wanted, least)
    count = judged + sum(not one.get("crowd") for one in wanted)
    return 2 * right / count if count else 1.0


def alike(found: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], most: float = 1.0) -> bool:
    """Whether two lists hold the same boxes: each has its partner of the same class, no edge further off than `most`
    pixels.
    """
    if len(found) != len(other):
        return False
    left = list(other)
    for one in found:
        near = (
            at
            for at, two in enumerate(left)
            if two["index"] == one["index"]
            and max(abs(a - b) for a, b in zip(one["box"], two["box"], strict=True)) <= most
        )
        at = next(near, None)
        if at is None:
            return False
        del left[at]
    return True
