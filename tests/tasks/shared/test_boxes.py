"""Boxes: overlap, suppression and matching, each against a plain statement of the rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchport.tasks.shared import boxes


def some(seed: int, count: int, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    corner = random.random((count, 2)) * 30
    return np.hstack([corner, corner + random.random((count, 2)) * 20]).astype(np.float32), random.random(
        (count, classes)
    ).astype(np.float32)


def test_overlap_of_known_boxes():
    one = np.array([[0, 0, 10, 10]], float)
    other = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [2, 2, 4, 4], [3, 3, 3, 3]], float)
    assert boxes.overlaps(one, other)[0] == pytest.approx([1, 1 / 3, 0, 0.04, 0])
    assert boxes.overlaps(one, other, of_smaller=True)[0, 3] == 1
    assert boxes.overlaps(one, np.array([[10, 0, 20, 10]]), pixel=1)[0, 0] == pytest.approx(11 / (121 + 121 - 11))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 25), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_what_is_kept_does_not_overlap_and_what_is_dropped_does(seed, count, most):
    found, scores = some(seed, count, 1)
    kept = boxes.suppress(found, scores[:, 0], most)
    overlap = boxes.overlaps(found, found)
    assert list(kept) == sorted(kept, key=lambda at: -scores[at, 0])
    for at in range(count):
        doubled = [two for two in kept if scores[two, 0] > scores[at, 0] and overlap[two, at] > most]
        assert bool(doubled) == (at not in kept)


def test_boxes_of_two_classes_are_no_doubles():
    found, scores = np.array([[0, 0, 9, 9]] * 3, np.float32), np.array([0.9, 0.8, 0.7])
    assert list(boxes.suppress(found, scores, 0.5, np.array([0, 1, 0]))) == [0, 1]
    assert list(boxes.suppress(found, scores, 0.5)) == [0]


def test_the_best_are_rows_by_rank():
    found, scores = (
        np.array([[0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 30, 30]], np.float32),
        np.array([[0.9, 0], [0.8, 0.1], [0.2, 0.7]], np.float32),
    )
    rows = boxes.best(found, scores, threshold=0.15, nms=0.5, top=10)
    assert rows.shape == (6, 6)
    assert rows[:4].round(4).tolist() == [
        [0, 0, 9, 9, 0.9, 0],
        [0] * 6,
        [20, 20, 30, 30, 0.7, 1],
        [20, 20, 30, 30, 0.2, 0],
    ] or np.allclose(rows[:4, 4], [0.9, 0, 0.7, 0.2])
    assert not rows[4:].any()
    assert boxes.best(found, scores, threshold=0.15, nms=None, top=2)[:, 4].tolist() == pytest.approx([0.9, 0.8])


def box(index, *edges, score=1.0, **more):
    return {"index": index, "score": score, "box": list(edges), **more}


def test_f1_of_a_picture():
    wanted = [box(0, 0, 0, 10, 10), box(1, 20, 20, 30, 30)]
    assert boxes.f1(wanted, wanted) == 1
    assert boxes.f1([], []) == 1
    assert boxes.f1([], wanted) == boxes.f1(wanted, []) == 0
    assert boxes.f1([box(1, 0, 0, 10, 10)], wanted) == 0  # the wrong class
    assert boxes.f1([box(0, 1, 0, 10, 10, score=0.9), box(0, 0, 0, 10, 10, score=0.8)], wanted) == pytest.approx(
        2 * 1 / 4
    )  # found twice
    crowd = [box(0, 0, 0, 10, 10), box(0, 50, 50, 90, 90, crowd=True)]
    assert (
        boxes.f1([box(0, 0, 0, 10, 10), box(0, 50, 50, 90, 80)], crowd) == 1
    )  # in a mass of things, neither right nor wrong


def test_alike_to_a_pixel_in_any_order():
    one = [box(0, 0, 0, 10, 10), box(1, 20, 20, 30, 30)]
    assert boxes.alike(one, [box(1, 20.9, 20, 30, 30), box(0, 0, 0, 10, 10)])
    assert not boxes.alike(one, [box(1, 21.1, 20, 30, 30), box(0, 0, 0, 10, 10)])
    assert not boxes.alike(one, one[:1])
    assert not boxes.alike(one, [one[0], box(0, 20, 20, 30, 30)])
