"""Faces by three networks in a row (K. Zhang et al., Joint Face Detection and Alignment Using Multi-task Cascaded
Convolutional Networks, 2016).

The order of things, its roundings and its constants are those of facenet-pytorch, so that its weights give its boxes:

1. `pnet` looks at the picture in a pyramid of sizes, `factor` apart, from 12 / `min_size` down to a shortest side of
12. Each of its
   outputs stands for 12 x 12 pixels, 2 apart. Overlapping boxes are suppressed: by an overlap of 0.5 within a size,
   then 0.7 over all; boxes are moved by the network's answer, and made square.
2. `rnet` looks at each box, resized to 24 x 24: least score, suppression by 0.7, moved, squared.
3. `onet` does so at 48 x 48, and answers five points (eyes, nose, corners of the mouth); non-maximum suppression at 0.7
of the smaller box.

All resizing is the mean over the covered pixels, by sums over the picture that are made once. numpy only.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from ..calls import Call, Calling
from ..parts import Values
from . import letterbox, pictures
from .boxes import suppress
from .detection_facts import DetectionFacts

_CELL, _STEP = 12, 2
_MOST = 0.7


def drive(values: Values, facts: DetectionFacts) -> Calling[dict[str, Any], Values]:
    """A driver: `image`, uint8 [height, width, 3] -> `found`, float32 [n, 6] as `boxes.best`, and `points`, float32 [n,
    5, 2], in its pixels.
    """
    height, width = values["image"].shape[:2]
    image = pictures.shrink(values["image"], (facts.max_side,) * 2, facts.max_side**2)
    sums = _sums(image)
    boxes = yield from _proposals(sums, facts)
    boxes, _ = yield from _refine("rnet", 24, sums, boxes, facts.thresholds[1])
    boxes, points = yield from _refine("onet", 48, sums, boxes, facts.thresholds[2])
    scale = np.array([width / image.shape[1], height / image.shape[0]], np.float32)
    order = np.argsort(-boxes[:, 4], kind="stable")[: facts.top]
    edges = letterbox.inside(boxes[order, :4] * np.tile(scale, 2), height, width)
    found = np.column_stack([edges, boxes[order, 4], np.zeros(len(order))]).astype(np.float32)
    return {"found": found, "points": (points[order] * scale).astype(np.float32)}


def _proposals(sums: np.ndarray, facts: DetectionFacts) -> Generator[Call, Any, np.ndarray]:
    """Square boxes with scores, float32 [n, 5], of all sizes."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    scale, least = _CELL / facts.min_size, facts.thresholds[0]
    found = [np.zeros((0, 9), np.float32)]
    while min(height, width) * scale >= _CELL:
        rows, columns = (
            _spans(np.zeros(1, int), np.array([height]), int(height * scale + 1)),
            _spans(np.zeros(1, int), np.array([width]), int(width * scale + 1)),
        )
        answered = yield Call("pnet", {"levels": _means(sums, rows, columns)})
        score = answered["score"][0]
        row, column = np.nonzero(score >= least)
        corner = np.column_stack([column, row]).astype(np.float32) * _STEP
        edges = np.floor(np.hstack([corner + 1, corner + _CELL]) / np.float32(scale))
        boxes = np.column_stack([edges, score[row, column], answered["box"][0][:, row, column].T])
        found.append(boxes[suppress(boxes[:, :4], boxes[:, 4], 0.5)])
        scale *= facts.factor
    boxes = np.concatenate(found)
    boxes = boxes[suppress(boxes[:, :4], boxes[:, 4], _MOST)]
    return _square(_moved(boxes[:, :5], boxes[:, 5:], pixel=0))


def _refine(
    stage: str, side: int, sums: np.ndarray, boxes: np.ndarray, least: float
) -> Generator[Call, Any, tuple[np.ndarray, np.ndarray]]:
    """The boxes that a stage takes for faces, moved to where it sees them, and its points; square after `rnet`."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    edges = np.trunc(boxes[:, :4]).astype(np.int64)
    start = np.maximum(edges[:, :2], 1) - 1
    length = np.minimum(edges[:, 2:], [width, height]) - start
    inside = (length > 0).all(1)
    boxes, start, length = boxes[inside, :4], start[inside], length[inside]
    if not len(boxes):
        return np.zeros((0, 5), np.float32), np.zeros((0, 5, 2), np.float32)
    answered = yield Call(
        stage,
        {"levels": _means(sums, _spans(start[:, 1], length[:, 1], side), _spans(start[:, 0], length[:, 0], side))},
    )
    passed = answered["score"] > least
    boxes, moves = np.column_stack([boxes[passed], answered["score"][passed]]), answered["box"][passed]
    if "points" not in answered:
        kept = suppress(boxes[:, :4], boxes[:, 4], _MOST)
        return _square(_moved(boxes[kept], moves[kept], pixel=1)), np.zeros((len(kept), 5, 2), np.float32)
    shares = answered["points"][passed].reshape(-1, 2, 5).transpose(0, 2, 1)
    points = (boxes[:, None, 2:4] - boxes[:, None, :2] + 1) * shares + boxes[:, None, :2] - 1
    boxes = _moved(boxes, moves, pixel=1)
    kept = suppress(boxes[:, :4], boxes[:, 4], _MOST, pixel=1, of_smaller=True)
    return boxes[kept], points[kept]


def _moved(boxes: np.ndarray, moves: np.ndarray, *, pixel: int) -> np.ndarray:
    """Boxes moved by shares of their sides, float32 [n, 5]."""
    sides = boxes[:, 2:4] - boxes[:, :2] + pixel
    return np.column_stack([boxes[:, :4] + moves * np.tile(sides, 2), boxes[:, 4]]).astype(np.float32)


def _square(boxes: np.ndarray) -> np.ndarray:
    """Boxes with both sides as long as the longer one, around the same centre."""
    sides = boxes[:, 2:4] - boxes[:, :2]
    longest = sides.max(1, keepdims=True, initial=0)
    corner = boxes[:, :2] + sides * np.float32(0.5) - longest * np.float32(0.5)
    return np.column_stack([corner, corner + longest, boxes[:, 4]])


def _sums(image: np.ndarray) -> np.ndarray:
    """uint32 [height + 1, width + 1, 3]: the sum of all pixels above and to the left; differences are right beyond
    2**32 too.
    """
    sums = np.zeros((image.shape[0] + 1, image.shape[1] + 1, image.shape[2]), np.uint32)
    np.cumsum(np.cumsum(image, 0, dtype=np.uint32), 1, out=sums[1:, 1:], dtype=np.uint32)
    return sums


def _spans(start: np.ndarray, length: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixels and the ends of `count` spans that cover `length` pixels from `start`, int [n, count] each;
    neighbours may share a pixel.
    """
    steps = np.arange(count)
    return start[:, None] + steps * length[:, None] // count, start[:, None] - (-(steps + 1) * length[:, None] // count)


def _means(sums: np.ndarray, rows: tuple[np.ndarray, np.ndarray], columns: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """float32 [n, 3, rows, columns]: the mean of each span of rows by each span of columns."""
    (top, bottom), (left, right) = ((first[:, :, None], end[:, :, None]) for first, end in (rows, columns))
    left, right = left.transpose(0, 2, 1), right.transpose(0, 2, 1)
    total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    means = total.astype(np.float32) / ((bottom - top) * (right - left))[..., None].astype(np.float32)
    return np.ascontiguousarray(means.transpose(0, 3, 1, 2))


def describe(facts: DetectionFacts) -> str:
    """The cascade in words, for reports."""
    return (
        f"pnet on a pyramid of sizes {facts.factor:g} apart, rnet at 24 x 24, onet at 48 x 48; non-maximum "
        "suppression after each"
    )
