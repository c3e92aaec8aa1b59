"""Tracks: the filter against its matrices, and numbers that stay with their things."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchport.errors import MissingDependency
from torchport.tasks.shared.association import Rules, Tracker, overlap
from torchport.tasks.shared.motion import Motion

SIZE = (100, 200)
ALWAYS = Rules(high=0.5, start=0.5, min_hits=1)


def boxes(*centres: tuple[float, float], side: float = 10.0) -> np.ndarray:
    half = side / 2
    return np.array([[x - half, y - half, x + half, y + half] for x, y in centres]).reshape(-1, 4)


def walk(
    tracker: Tracker, frames: list[list[tuple[float, float]]], score: float = 0.9, label: int = 0, side: float = 10.0
) -> list[dict[int, tuple[float, float]]]:
    """The tracks of each frame: number -> centre."""
    shown = []
    for centres in frames:
        found = boxes(*centres, side=side)
        numbers, rows = tracker.update(found, np.full(len(found), score), np.full(len(found), label))
        shown.append({int(number): centres[row] for number, row in zip(numbers, rows, strict=True)})
    return shown


def test_the_filter_of_four_pairs_is_the_filter_of_eight():
    """Against the textbook: predict x = Fx, P = FPF' + Q; update K = PH'(HPH' + R)^-1."""
    random = np.random.default_rng(0)
    start = np.array([[50.0, 40.0, 12.0, 30.0]])
    mine = Motion.begin(start)
    scale = np.tile(start[0, 2:], 2)
    x, p = np.concatenate([start[0], np.zeros(4)]), np.diag(np.concatenate([(0.1 * scale) ** 2, (scale / 16) ** 2]))
    step, look = np.block([[np.eye(4), np.eye(4)], [np.zeros((4, 4)), np.eye(4)]]), np.eye(4, 8)
    for turn in range(12):
        scale = np.tile(x[2:4], 2)
        noise = np.diag(np.concatenate([(scale / 20) ** 2, (scale / 160) ** 2]))
        x, p = step @ x, step @ p @ step.T + noise
        mine.predict()
        if turn % 3:
            seen = start[0] + [3.0 * turn, -turn, 0, 0] + random.normal(size=4)
            gain = p @ look.T @ np.linalg.inv(look @ p @ look.T + np.diag((np.tile(x[2:4], 2) / 20) ** 2))
            x, p = x + gain @ (seen - look @ x), (np.eye(8) - gain @ look) @ p
            mine.update(np.array([0]), seen[None])
        np.testing.assert_allclose(np.concatenate([mine.place[0], mine.velocity[0]]), x, rtol=1e-10)
        np.testing.assert_allclose(np.concatenate([mine.pp[0], mine.vv[0]]), np.diag(p), rtol=1e-10)


def test_overlap_of_all_pairs():
    mine, theirs = np.array([[5.0, 5, 10, 10]]), np.array([[5.0, 5, 10, 10], [10, 5, 10, 10], [40, 5, 10, 10]])
    np.testing.assert_allclose(overlap(mine, theirs), [[1, 1 / 3, 0]])
    np.testing.assert_allclose(overlap(mine, theirs, 0.5), [[1, 15 / 25, 0]])
    assert overlap(np.zeros((0, 4)), theirs).shape == (0, 3)


def test_two_things_that_cross_keep_their_numbers():
    frames = [[(10.0 + 4 * t, 30.0), (150.0 - 4 * t, 36.0)] for t in range(35)]
    shown = walk(Tracker(ALWAYS, SIZE), frames)
    assert shown == [{1: right, 2: left} for right, left in frames]


def test_a_gap_shorter_than_max_age_is_bridged_and_a_longer_one_is_not():
    path = [[(10.0 + 3 * t, 50.0)] for t in range(30)]
    short = [frame if not 10 <= t < 15 else [] for t, frame in enumerate(path)]
    assert {number for frame in walk(Tracker(ALWAYS, SIZE), short) for number in frame} == {1}
    tracker = Tracker(Rules(high=0.5, start=0.5, min_hits=1, max_age=3), SIZE)
    assert {number for frame in walk(tracker, short) for number in frame} == {1, 2}


def test_a_low_score_continues_a_track_and_begins_none():
    tracker = Tracker(ALWAYS, SIZE)
    assert walk(tracker, [[(50.0, 50.0)]], score=0.2) == [{}]
    assert walk(tracker, [[(50.0, 50.0)]], score=0.9) == [{1: (50.0, 50.0)}]
    assert walk(tracker, [[(51.0, 50.0)], [(52.0, 50.0)]], score=0.2) == [{1: (51.0, 50.0)}, {1: (52.0, 50.0)}]


def test_a_track_is_reported_from_its_min_hits_but_for_those_of_the_first_frame():
    tracker = Tracker(Rules(high=0.5, start=0.5, min_hits=3), SIZE)
    first, second = (20.0, 20.0), (80.0, 80.0)
    shown = walk(tracker, [[first], [first, second], [first], [first, second], [first, second], [first, second]])
    assert [sorted(frame) for frame in shown] == [[1], [1], [1], [1], [1], [1, 2]]


def test_labels_never_mix():
    tracker = Tracker(ALWAYS, SIZE)
    here = boxes((50.0, 50.0))
    assert [int(tracker.update(here, np.array([0.9]), np.array([label]))[0][0]) for label in (0, 1, 0, 1)] == [
        1,
        2,
        1,
        2,
    ]


def test_what_leaves_at_one_side_comes_in_at_the_other():
    frames = [[((150.0 + 5 * t) % 200, 30.0), (40.0, (60.0 + 7 * t) % 100)] for t in range(40)]
    wrapped = walk(Tracker(Rules(high=0.5, start=0.5, min_hits=1, wrap="xy"), SIZE), frames)
    assert all(sorted(frame) == [1, 2] for frame in wrapped)
    assert len({number for frame in walk(Tracker(ALWAYS, SIZE), frames) for number in frame}) > 2
    one = Tracker(Rules(high=0.5, start=0.5, min_hits=1, wrap="x"), SIZE)
    assert all(list(frame) == [1] for frame in walk(one, [[first] for first, _ in frames]))


def test_a_jump_is_followed_as_far_as_it_is_allowed():
    frames = [[(20.0, 20.0)], [(22.0, 20.0)], [(122.0, 20.0)], [(124.0, 20.0)]]
    far, near = (Tracker(Rules(high=0.5, start=0.5, min_hits=1, jump={0: reach}), SIZE) for reach in (110.0, 90.0))
    assert [list(frame) for frame in walk(far, frames)] == [[1], [1], [1], [1]]
    assert [list(frame) for frame in walk(near, frames)] == [[1], [1], [2], [2]]
    other = Tracker(Rules(high=0.5, start=0.5, min_hits=1, jump={1: 110.0}), SIZE)
    assert [list(frame) for frame in walk(other, frames)] == [[1], [1], [2], [2]]


def test_a_jump_goes_around_a_closed_frame():
    frames = [[(198.0, 20.0)], [(4.0, 20.0)]]
    closed = Tracker(Rules(high=0.5, start=0.5, min_hits=1, iou=0.99, wrap="x", jump={0: 10.0}), SIZE)
    assert [list(frame) for frame in walk(closed, frames)] == [[1], [1]]


def test_new_tracks_are_numbered_in_reading_order_whatever_their_scores():
    centres = [(150.0, 80.0), (20.0, 20.0), (150.0, 20.0)]
    for scores in ([0.9, 0.8, 0.7], [0.7, 0.8, 0.9]):
        numbers, rows = Tracker(ALWAYS, SIZE).update(boxes(*centres), np.array(scores), np.zeros(3))
        assert [numbers.tolist(), rows.tolist()] == [[1, 2, 3], [1, 2, 0]]


def test_frames_without_detections():
    tracker = Tracker(ALWAYS, SIZE)
    for _ in range(3):
        numbers, rows = tracker.update(np.zeros((0, 4)), np.zeros(0), np.zeros(0))
        assert len(numbers) == len(rows) == 0
    assert walk(tracker, [[(1.0, 1.0)]]) == [{1: (1.0, 1.0)}]


def test_without_lap_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lap", None)
    with pytest.raises(MissingDependency, match=r"torchport\[video\]"):
        Tracker(ALWAYS, SIZE)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_numbers_are_unique_rows_are_unique_and_the_same_input_gives_the_same_answer(seed, count):
    random = np.random.default_rng(seed)
    frames = [
        (boxes(*random.uniform(0, 120, (n, 2)), side=30), random.uniform(0, 1, n), random.integers(0, 2, n))
        for n in random.integers(0, count + 1, 10)
    ]
    rules = Rules(min_hits=1, wrap="x", jump={0: 30.0}, max_age=3)
    first, second = Tracker(rules, SIZE), Tracker(rules, SIZE)
    for found in frames:
        numbers, rows = first.update(*found)
        again = second.update(*found)
        assert len(set(numbers.tolist())) == len(numbers) == len(set(rows.tolist()))
        assert (np.diff(numbers) > 0).all() and (numbers > 0).all()
        assert np.array_equal(numbers, again[0]) and np.array_equal(rows, again[1])
