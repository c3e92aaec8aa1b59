"""What the base Runner does for every runtime, on a runner that answers in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from torchport.errors import BadInput, RunError
from torchport.targets.base import Arrays
from torchport.targets.shared.runner import Runner
from torchport.types import Bound, FixedBatch, GraphFile, Signature, TensorIO, TensorSpec, Used

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype="int64", shape=("batch", 2, 3)),),
    outputs=(TensorSpec(name="y", dtype="int64", shape=("batch", 2, 3)),),
    dims={"batch": Bound(max=100)},
)


class Doubler(Runner):
    """Doubles its input, and remembers what it was given."""

    def _open(self, path: Path) -> None:
        self.given: list[np.ndarray] = []
        self.used = Used(library="numpy", version="1")

    def _run(self, feed: Arrays) -> Arrays:
        (name, array), *_ = feed.items()
        assert name == "native_x"
        assert array.flags.c_contiguous
        self.given.append(array)
        return {"native_y": array * 2}


def doubler(**io: object) -> Doubler:
    spelled = {"dtype": "int64", "batch": "dynamic", **io}
    tensors = {name: TensorIO(name=f"native_{name}", **spelled) for name in ("x", "y")}  # type: ignore[arg-type]
    return Doubler(SIGNATURE, GraphFile(entry="none", files=(), io=tensors), Path())


def feed(batch: int) -> Arrays:
    return {"x": np.arange(batch * 6, dtype=np.int64).reshape(batch, 2, 3)}


def test_names_are_the_runtimes_inside_and_the_signatures_outside() -> None:
    assert np.array_equal(doubler().run(feed(2))["y"], feed(2)["x"] * 2)


def test_integers_are_narrowed_within_their_range_only() -> None:
    runner = doubler(dtype="int32")
    assert runner.run(feed(2))["y"].dtype == np.int64
    assert runner.given[0].dtype == np.int32
    with pytest.raises(BadInput, match="takes int32"):
        runner.run({"x": feed(1)["x"] + 2**40})


def test_layout_is_permuted_there_and_back() -> None:
    runner = doubler(layout=(0, 2, 1))
    assert np.array_equal(runner.run(feed(2))["y"], feed(2)["x"] * 2)
    assert runner.given[0].shape == (2, 3, 2)


@pytest.mark.parametrize(("batch", "calls"), [(1, [1]), (2, [4]), (4, [4]), (5, [4, 1]), (7, [4, 4]), (9, [4, 4, 1])])
def test_fixed_batches_are_padded_and_split(batch: int, calls: list[int]) -> None:
    runner = doubler(batch=FixedBatch(fixed=(1, 4)))
    assert np.array_equal(runner.run(feed(batch))["y"], feed(batch)["x"] * 2)
    assert [array.shape[0] for array in runner.given] == calls


def test_bounded_batches_are_split() -> None:
    runner = doubler(max_shape=(3, 2, 3))
    assert np.array_equal(runner.run(feed(7))["y"], feed(7)["x"] * 2)
    assert [array.shape[0] for array in runner.given] == [3, 3, 1]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({}, "takes \\['x'\\]"),
        ({"z": np.zeros((1, 2, 3), np.int64)}, "inputs are \\['z'\\]"),
        ({"x": np.zeros((1, 2, 3), np.float32)}, "'x' is float32"),
        ({"x": np.zeros((2, 3), np.int64)}, "shape \\[2, 3\\]"),
        ({"x": np.zeros((1, 2, 4), np.int64)}, "shape \\[1, 2, 4\\]"),
        ({"x": np.zeros((0, 2, 3), np.int64)}, "'batch' is 0"),
        ({"x": np.zeros((101, 2, 3), np.int64)}, "1..100"),
    ],
)
def test_a_feed_that_does_not_fit_is_named(bad: Arrays, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        doubler().run(bad)


def test_a_missing_output_and_a_foreign_exception_become_run_errors() -> None:
    runner = doubler()
    runner._run = lambda feed: {}  # type: ignore[method-assign]
    with pytest.raises(RunError, match="no output 'native_y'"):
        runner.run(feed(1))
    runner._run = lambda feed: {"native_y": 1 / 0}  # type: ignore[method-assign]
    with pytest.raises(RunError, match="Doubler failed on x int64\\[1, 2, 3\\]: ZeroDivisionError"):
        runner.run(feed(1))


def test_scalars_stay_scalars() -> None:
    spec = TensorSpec(name="x", dtype="float32", shape=())
    signature = Signature(inputs=(spec,), outputs=(TensorSpec(name="y", dtype="float32", shape=()),))
    io = {name: TensorIO(name=f"native_{name}", dtype="float32") for name in ("x", "y")}
    runner = Doubler(signature, GraphFile(entry="none", files=(), io=io), Path())
    assert runner.run({"x": np.array(3, np.float32)})["y"].shape == ()


def test_an_output_without_a_batch_axis_is_answered_once_however_the_batch_is_cut() -> None:
    specs = [
        TensorSpec(name=name, dtype="float32", shape=shape)
        for name, shape in (("x", ("batch", 2)), ("y", ("batch", 2)), ("table", (3,)), ("scale", ()))
    ]
    signature = Signature(inputs=(specs[0],), outputs=tuple(specs[1:]))
    io = {
        spec.name: TensorIO(
            name=spec.name, dtype="float32", batch=FixedBatch(fixed=(2,)) if spec.name in "xy" else "none"
        )
        for spec in specs
    }

    class Tables(Runner):
        def _open(self, path: Path) -> None:
            pass

        def _run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"y": feed["x"] + 1, "table": np.arange(3, dtype=np.float32), "scale": np.float32(2)}

    answered = Tables(signature, GraphFile(entry="none", files=(), io=io), Path()).run(
        {"x": np.zeros((5, 2), np.float32)}
    )
    assert {name: array.shape for name, array in answered.items()} == {"y": (5, 2), "table": (3,), "scale": ()}
