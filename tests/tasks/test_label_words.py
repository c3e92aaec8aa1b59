"""A label is told to people as what it stands for, not as a number or a table of numbers."""

from __future__ import annotations

from typing import Any

import pytest

from torchport.tasks import tasks
from torchport.tasks.facts import read

BOX = {"box": [0.0, 0.0, 1.0, 1.0]}


@pytest.mark.parametrize(
    ("task", "label", "stated", "words"),
    [
        ("image-classification", 1, {"labels": ["cat", "dog"]}, "dog"),
        ("image-classification", 1, {"labels": None}, "1"),
        ("text-classification", 0, {"labels": ["good", "bad"]}, "good"),
        ("image-recognition", "Ada", {}, "Ada"),
        (
            "object-detection",
            [{"index": 1, **BOX}, {"index": 0, **BOX}, {"index": 1, **BOX}],
            {"labels": ["car", "hen"]},
            "1 car, 2 hen",
        ),
        ("object-detection", [], {"labels": None}, "nothing"),
        (
            "object-tracking",
            [[1, 7, 0, 0, 0, 9, 9], [2, 7, 0, 0, 0, 9, 9], [2, 8, 0, 0, 0, 9, 9]],
            {},
            "2 tracks in 2 frames",
        ),
        ("keyword-extraction", ["sea", "ice"], {}, "sea, ice"),
        ("translation", "x" * 100, {}, "x" * 77 + "..."),
    ],
)
def test_a_label_in_words(task: str, label: Any, stated: dict[str, Any], words: str) -> None:
    one = tasks.get(task)
    assert one.label_words(label, read(one.facts, stated)) == words
