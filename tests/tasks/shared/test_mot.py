"""The MOT format there and back, and the accuracy of tracks against motmetrics."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchport.errors import BadInput
from torchport.tasks.shared import mot
from torchport.tasks.shared.association import overlap


def frame(number: int, *tracks: tuple[int, int, float, float]) -> dict:
    """A presented frame of boxes 10 x 10."""
    return {
        "frame": number,
        "tracks": [
            {"id": i, "index": c, "label": str(c), "score": 0.5, "box": [x, y, x + 10, y + 10]} for i, c, x, y in tracks
        ],
    }


def truth(*rows: tuple[int, int, int, float, float]) -> mot.Truth:
    return [[float(n), float(i), float(c), x, y, x + 10, y + 10] for n, i, c, x, y in rows]


def test_results_are_written_and_read_back(tmp_path):
    path = tmp_path / "a.mot.txt"
    path.write_text(mot.text([frame(1, (1, 0, 2.5, 3)), frame(2), frame(3, (1, 0, 3, 3), (2, 1, 50, 4))]))
    assert path.read_text().splitlines()[0] == "1,1,2.50,3.00,10.00,10.00,0.5000,-1,-1,-1"
    assert mot.read(path) == truth((1, 1, -1, 2.5, 3), (3, 1, -1, 3, 3), (3, 2, -1, 50, 4))


@given(
    st.lists(
        st.tuples(
            st.integers(1, 99), st.integers(1, 99), st.integers(0, 9), st.integers(-50, 999), st.integers(-50, 999)
        ),
        max_size=9,
    )
)
@settings(max_examples=40, deadline=None)
def test_truth_is_written_and_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("gt") / "gt.txt"
    path.write_text(mot.write(truth(*rows)))
    assert mot.read(path) == truth(*rows)


def test_rows_that_do_not_count_are_passed_over_and_broken_ones_named(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text("1,1,0,0,10,10,0,1,1\n1,2,0,0,10,10,1,2,0.5\n\n")
    assert mot.read(path) == truth((1, 2, 1, 0, 0))
    path.write_text("1,1,0,0,10,10,1,1,1\n1,x,0\n")
    with pytest.raises(BadInput, match="line 2"):
        mot.read(path)


def test_truth_from_coco(tmp_path):
    path = tmp_path / "instances.json"
    document = {
        "images": [{"id": 7, "file_name": "10.png"}, {"id": 8, "file_name": "9.png"}],
        "annotations": [
            {"image_id": 7, "track_id": 3, "category_id": 5, "bbox": [1, 2, 10, 10]},
            {"image_id": 8, "track_id": 3, "category_id": 4, "bbox": [0, 0, 10, 10]},
        ],
        "categories": [{"id": 5, "name": "b"}, {"id": 4, "name": "a"}],
    }
    path.write_text(json.dumps(document))
    assert mot.from_coco(path) == truth((1, 3, 0, 0, 0), (2, 3, 1, 1, 2))
    del document["annotations"][0]["track_id"]
    path.write_text(json.dumps(document))
    with pytest.raises(BadInput, match="track_id"):
        mot.from_coco(path)


def test_accuracy_by_hand():
    there = truth((1, 1, 0, 0, 0), (1, 2, 0, 50, 0), (2, 1, 0, 0, 0), (2, 2, 0, 50, 0))
    assert mot.mota([frame(1, (5, 0, 0, 0), (6, 0, 50, 0)), frame(2, (5, 0, 1, 0), (6, 0, 50, 0))], there) == 1.0
    assert (
        mot.mota([frame(1, (5, 0, 0, 0), (6, 0, 50, 0)), frame(2, (6, 0, 1, 0), (5, 0, 50, 0))], there) == 0.5
    )  # two switches
    assert (
        mot.mota([frame(1, (5, 0, 0, 0), (6, 0, 50, 0)), frame(2, (5, 1, 1, 0), (6, 0, 50, 0))], there) == 0.5
    )  # a wrong class: missed and false
    assert mot.mota([frame(1), frame(2)], there) == 0.0
    assert mot.mota([frame(1), frame(2)], []) == 1.0
    assert mot.mota([frame(1, (1, 0, 0, 0))], []) == 0.0


@pytest.mark.parametrize("seed", range(6))
def test_accuracy_is_that_of_motmetrics(seed):
    motmetrics = pytest.importorskip("motmetrics")
    random = np.random.default_rng(seed)
    there, frames, judge = [], [], motmetrics.MOTAccumulator(auto_id=True)
    for number in range(1, 25):
        mine = [
            (track, track % 2, 25.0 * track + number, float(random.uniform(0, 6)))
            for track in range(6)
            if random.random() < 0.9
        ]
        theirs = [
            (int((i + (random.random() < 0.15)) % 7) + 10, i % 2, x + random.uniform(-4, 4), y)
            for i, _, x, y in mine
            if random.random() < 0.9
        ]
        theirs = list({one[0]: one for one in theirs}.values())
        there += truth(*((number, *one) for one in mine))
        frames.append(frame(number, *theirs))
        cost = 1 - overlap(
            *(np.array([[x + 5, y + 5, 10, 10] for *_, x, y in side]).reshape(-1, 4) for side in (mine, theirs))
        )
        other = np.not_equal.outer([c for _, c, *_ in mine], [c for _, c, *_ in theirs]).reshape(cost.shape)
        judge.update([one[0] for one in mine], [one[0] for one in theirs], np.where((cost > 0.5) | other, np.nan, cost))
    expected = motmetrics.metrics.create().compute(judge, metrics=["mota", "num_switches"])
    assert expected["num_switches"].item() > 3
    assert mot.mota(frames, there) == pytest.approx(expected["mota"].item(), abs=1e-12)
