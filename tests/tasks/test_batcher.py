"""A batching graph answers like the graph inside it, for chains and threads that know nothing of it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from torchport.errors import BadInput, RunError
from torchport.targets.base import Arrays, plain_io
from torchport.targets.shared.runner import Runner
from torchport.tasks.batcher import BatchingGraph
from torchport.types import GraphFile, Signature, TensorSpec, Used

SPECS = [TensorSpec(name=name, dtype="float32", shape=("batch", size)) for name, size in (("x", "width"), ("y", 2))]
SIGNATURE = Signature(inputs=(SPECS[0],), outputs=(SPECS[1],), dims={})


class Sums(Runner):
    """Sum and maximum of every row; a row that holds 13 fails, as do two threads at once."""

    def _open(self, path: Path) -> None:
        self.used = Used(library="numpy", version=np.__version__)
        self.sizes: list[int] = []
        self._busy = threading.Lock()

    def _run(self, feed: Arrays) -> Arrays:
        x = feed["x"]
        if not self._busy.acquire(blocking=False):
            raise AssertionError("two threads at once")
        try:
            self.sizes.append(len(x))
            time.sleep(0.001)
            if (x == 13).any():
                raise ValueError("13")
            return {"y": np.stack([x.sum(1), x.max(1)], 1)}
        finally:
            self._busy.release()


@pytest.fixture
def sums() -> Sums:
    return Sums(SIGNATURE, GraphFile(entry="none", files=(), io=plain_io(SIGNATURE)), Path())


def answer(x: np.ndarray) -> np.ndarray:
    return np.stack([x.sum(1), x.max(1)], 1)


def test_many_threads_are_answered_as_one_by_one_in_few_calls(sums: Sums) -> None:
    graph, rng = BatchingGraph(sums), np.random.default_rng(0)
    feeds = [rng.standard_normal((1, 8), dtype=np.float32) for _ in range(200)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda x: graph.run({"x": x})["y"], feeds))
    for x, got in zip(feeds, answers, strict=True):
        np.testing.assert_allclose(got, answer(x), rtol=1e-6)
    assert len(sums.sizes) == graph.calls < 60
    assert sum(sums.sizes) == 200


def test_one_call_alone_waits_for_nobody(sums: Sums) -> None:
    graph = BatchingGraph(sums, wait_s=5.0)
    began = time.monotonic()
    for _ in range(3):
        graph.run({"x": np.ones((1, 8), np.float32)})
    assert time.monotonic() - began < 2.0


def test_feeds_of_other_shapes_and_sizes_keep_apart(sums: Sums) -> None:
    graph, rng = BatchingGraph(sums, most=4), np.random.default_rng(1)
    feeds = [rng.standard_normal((1 + i % 3, 4 + i % 2), dtype=np.float32) for i in range(60)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda x: graph.run({"x": x})["y"], feeds))
    for x, got in zip(feeds, answers, strict=True):
        assert got.shape == (len(x), 2)
        np.testing.assert_allclose(got, answer(x), rtol=1e-6)
    assert max(sums.sizes) <= 4


def test_a_feed_that_fails_fails_alone(sums: Sums) -> None:
    graph = BatchingGraph(sums)

    def ask(i: int) -> object:
        try:
            return graph.run({"x": np.full((1, 8), i, np.float32)})["y"]
        except RunError as exc:
            return exc

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(40)))
    assert [i for i, one in enumerate(answers) if isinstance(one, RunError)] == [13]
    with pytest.raises(BadInput, match="x"):
        graph.run({"x": np.ones((1, 8), np.float64)})
    assert graph.run({"x": np.ones((1, 8), np.float32)})["y"].tolist() == [[8, 1]]
