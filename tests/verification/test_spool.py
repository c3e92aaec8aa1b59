"""Outputs of many items in a file: every number comes back, and beyond a size a sample of them."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from torchport.verification.spool import SAMPLE, Spool


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.array(True),
        np.zeros((0, 4), np.int64),
        np.array([1, 2], np.uint8)[::-1],
        np.float32(2),
    ],
)
def test_arrays_come_back_as_they_were(array: np.ndarray) -> None:
    spool = Spool()
    spool.add(0, {"first": np.ones(5)})
    spool.add(3, {"y": np.asarray(array)})
    assert 3 in spool and 1 not in spool
    [(name, kept, other)] = spool.beside(3, {"y": np.asarray(array)})
    assert name == "y" and kept.dtype == other.dtype and np.array_equal(kept, other) and kept.shape == other.shape
    assert list(spool.beside(1, {})) == [] and spool.sampled_from is None


def test_beyond_its_size_a_spool_keeps_a_sample() -> None:
    spool = Spool(most_bytes=1000)
    large = np.random.default_rng(0).standard_normal((100, 3 * SAMPLE // 100 + 1))
    spool.add(0, {"y": np.ones(10)})
    spool.add(1, {"y": large})
    [(_, kept, other)] = spool.beside(1, {"y": large})
    assert SAMPLE <= kept.size < large.size and np.array_equal(kept, other) and spool.sampled_from == 1
    [(_, kept, other)] = spool.beside(1, {"y": large[:50]})
    assert kept.shape != other.shape


def test_the_file_goes_with_the_spool() -> None:
    spool = Spool()
    spool.add(0, {"y": np.ones(3)})
    path = spool.path
    assert path.exists()
    del spool
    gc.collect()
    assert not path.exists()
