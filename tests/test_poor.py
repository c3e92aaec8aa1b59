"""A model that is poor on its own labelled data is said aloud, with the likely cause."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from torchport.deployment.poor import poor
from torchport.tasks import Item, tasks
from torchport.tasks.parts import Grade
from torchport.verification.accuracy import Answered

TASK = tasks.get("image-classification")


def said(labels, answers, *, metric="top-1", values=None, names=None):
    rows = [Item(str(i), bytes, label) for i, label in enumerate(labels)]
    values = values or [float(a == b) for a, b in zip(labels, answers, strict=True)]
    found = [
        Answered({"labels": [{"index": one}]}, Grade(metric, value)) for one, value in zip(answers, values, strict=True)
    ]
    return poor(
        SimpleNamespace(items=rows, facts=TASK.facts(labels=names), assumed=("mean",), task=TASK),
        found,
    )


def test_a_constant_answer_is_no_better_than_the_most_frequent_label():
    [text] = said([0, 0, 0, 1, 1], [0] * 5)
    assert "3 of 5" in text
    assert "'0' would be right on 60 %" in text
    assert "nobody stated mean" in text


def test_chance_on_many_items_is_named_and_a_good_model_is_not():
    labels = [i % 2 for i in range(100)]
    assert said(labels, [(i // 2) % 2 for i in range(100)])
    assert said(labels, [label if i % 5 else 1 - label for i, label in enumerate(labels)]) == []


def test_more_often_wrong_than_right_is_named_though_better_than_chance():
    labels = [i % 10 for i in range(200)]
    assert said(labels, [label if i % 3 == 0 else 0 for i, label in enumerate(labels)])


def test_swapped_labels_are_named_as_the_cause():
    [text] = said([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0], names=["cat", "dog"])
    assert "another order" in text
    assert "cat is answered as dog" in text


@pytest.mark.parametrize(("value", "poor_one"), [(0.0, True), (0.7, False)])
def test_other_metrics_have_a_least_value(value, poor_one):
    assert bool(said(["a"] * 3, [0] * 3, metric="word accuracy", values=[value] * 3)) == poor_one


def test_nothing_is_said_without_labels():
    assert said([None, None], [0, 1]) == []
