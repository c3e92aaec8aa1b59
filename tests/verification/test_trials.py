"""Which feeds are made beside the data: other sizes within the bounds, edge values, and what two right runtimes may
differ on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from torchport.errors import BadInput, RunError
from torchport.feed import Arrays, check_feed
from torchport.targets.base import plain_io
from torchport.targets.shared.runner import Runner
from torchport.types import Bound, GraphFile, Signature, TensorSpec, Used
from torchport.verification.trials import EDGES, SIZES, Trial, other_sizes, shaky, trials


class Made(Runner):
    """A graph that is a numpy function."""

    def __init__(self, signature: Signature, function: Callable[[Arrays], Arrays]) -> None:
        self.function = function
        super().__init__(signature, GraphFile(entry="", files=(), io=plain_io(signature)), Path())

    def _open(self, path: Path) -> None:
        self.used = Used(library="numpy", version=np.__version__)

    def _run(self, feed: Arrays) -> Arrays:
        return self.function(feed)


def spec(name: str, dtype: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


PICTURE = Signature(
    inputs=(spec("x", "float32", "batch", 3, "height", "width"),),
    outputs=(spec("y", "float32", "batch"),),
    dims={"height": Bound(min=4, max=64, multiple=4), "width": Bound()},
)
EXAMPLE = {"x": np.random.default_rng(0).standard_normal((2, 3, 12, 13), dtype=np.float32)}


def mean(feed: Arrays) -> Arrays:
    return {"y": feed["x"].mean((1, 2, 3))}


def of(signature: Signature, example: Arrays, function: Callable[[Arrays], Arrays]) -> list[Trial]:
    return trials("model", example, Made(signature, function))


@given(st.integers(1, 100), st.integers(1, 5), st.integers(1, 8), st.one_of(st.none(), st.integers(0, 20)))
def test_other_sizes_are_within_the_bound_and_others(least: int, example: int, multiple: int, more: int | None) -> None:
    bound = Bound(min=least * multiple, max=None if more is None else (least + more) * multiple, multiple=multiple)
    size = bound.nearest(example * multiple)
    found = other_sizes(bound, size)
    assert size not in found and all(bound.holds(one) for one in found) and len(set(found)) == len(found)
    assert len(found) >= (2 if bound.max is None or (more is not None and more >= 2) else 0)


def test_each_dimension_is_tried_at_two_sizes_and_with_the_others() -> None:
    made = [one for one in of(PICTURE, EXAMPLE, mean) if one.stage == SIZES]
    shapes = [one.feed["x"].shape for one in made]
    assert shapes[0] == (2, 3, 12, 13)
    for axis in (0, 2, 3):
        alone = {
            shape[axis]
            for shape in shapes
            if all(a == b for i, (a, b) in enumerate(zip(shape, shapes[0], strict=True)) if i != axis)
        }
        assert len(alone) >= 3
    assert any(all(shape[axis] != shapes[0][axis] for axis in (0, 2, 3)) for shape in shapes)
    assert {4, 64} <= {shape[2] for shape in shapes} and 1 in {shape[3] for shape in shapes}
    assert all(check_feed(PICTURE, one.feed) for one in made)
    assert any("where height is 16 (captured at 12)" in one.what for one in made)


def test_longer_feeds_hold_no_two_equal_slices() -> None:
    for one in of(PICTURE, EXAMPLE, mean):
        if one.stage == SIZES:
            assert np.unique(one.feed["x"]).size > 0.99 * one.feed["x"].size


def test_sizes_that_the_model_refuses_are_left_out() -> None:
    def picky(feed: Arrays) -> Arrays:
        if feed["x"].shape[3] < 13:
            raise RunError("too narrow")
        return mean(feed)

    made = of(PICTURE, EXAMPLE, picky)
    assert made and all(one.feed["x"].shape[3] >= 13 for one in made)


def test_masks_get_rows_of_either_value() -> None:
    signature = Signature(
        inputs=(spec("x", "float32", "batch", 4), spec("keep", "bool", "batch", 4)),
        outputs=(spec("y", "float32", "batch"),),
    )
    example = {"x": np.ones((2, 4), np.float32), "keep": np.array([[True] * 4, [True, False, True, False]])}
    made = of(signature, example, lambda feed: {"y": (feed["x"] * feed["keep"]).sum(1)})
    masks = [one.feed["keep"].tolist() for one in made if one.stage == EDGES and not one.precise]
    assert [[False] * 4, [True, False, True, False]] in masks and [[True] * 4, [True, False, True, False]] in masks
    assert [[False] * 4] * 2 in masks and [[True] * 4] * 2 in masks
    assert any(one.what == "on a row of only False of 'keep'" for one in made)


def test_added_masks_get_rows_of_minus_infinity() -> None:
    signature = Signature(inputs=(spec("mask", "float32", 4, 4),), outputs=(spec("y", "float32", 4, 4),))
    made = of(signature, {"mask": np.zeros((4, 4), np.float32)}, lambda feed: {"y": feed["mask"]})
    assert any(np.isneginf(one.feed["mask"][0]).all() and (one.feed["mask"][1:] == 0).all() for one in made)


def test_pixels_are_tried_black_and_white_and_ids_stay_in_the_table() -> None:
    signature = Signature(
        inputs=(spec("image", "uint8", "height", 4), spec("ids", "int64", "length")), outputs=(spec("y", "int64"),)
    )
    example = {"image": np.arange(20, dtype=np.uint8).reshape(5, 4), "ids": np.array([7, 3, 9])}
    made = of(signature, example, lambda feed: {"y": feed["image"].sum(dtype=np.int64) + feed["ids"].sum()})
    assert {(one.feed["image"].min(), one.feed["image"].max()) for one in made if one.stage == EDGES} >= {
        (0, 0),
        (255, 255),
    }
    assert all(set(one.feed["ids"].tolist()) <= {7, 3, 9} for one in made)


def test_values_beyond_what_the_model_answers_are_not_asked_for() -> None:
    with np.errstate(over="ignore"):
        made = of(PICTURE, EXAMPLE, lambda feed: {"y": np.exp(feed["x"]).mean((1, 2, 3))})
    assert not any("times as large" in one.what for one in made)


def test_an_order_of_equal_scores_hangs_on_the_last_bits_and_a_mean_does_not() -> None:
    signature = Signature(inputs=(spec("x", "float32", 8),), outputs=(spec("best", "int64"), spec("mean", "float32")))
    runner = Made(signature, lambda feed: {"best": np.int64(feed["x"].argmax()), "mean": feed["x"].mean()})
    example = {"x": np.arange(8, dtype=np.float32)}
    equal = {"x": np.ones(8, np.float32)}
    assert shaky(runner, "best", equal, example)
    assert not shaky(runner, "best", example, example) and not shaky(runner, "mean", equal, example)


def test_a_graph_that_refuses_its_own_example_has_no_trials() -> None:
    def broken(feed: Arrays) -> Arrays:
        raise BadInput("no")

    assert of(PICTURE, EXAMPLE, broken) == []
