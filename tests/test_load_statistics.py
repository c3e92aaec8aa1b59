"""What a load test may claim: the bounds are those of the binomial distribution."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchport.errors import UsageError
from torchport.jobs.load_statistics import at_most, estimate, fewest, holds, percentile
from torchport.jobs.quantities import milliseconds, per_second


@given(st.integers(1, 200), st.data(), st.sampled_from([0.5, 0.1, 0.01, 0.001]))
def test_the_distribution_is_the_sum_of_its_terms(n: int, data: st.DataObject, chance: float) -> None:
    t = data.draw(st.integers(0, n))
    exact = math.fsum(math.comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in range(t + 1))
    assert at_most(t, n, chance) == pytest.approx(exact, abs=1e-12)


def test_as_many_queries_are_needed_as_loadgen_needs() -> None:
    assert (fewest(0.9), fewest(0.99)) == (64, 662)
    assert fewest(0.99, beyond=0) == 459
    assert not holds(1, 661, 0.99) and holds(1, 662, 0.99)
    assert holds(32, 472, 0.9) and not holds(33, 472, 0.9)  # LoadGen 6.0.17 leaves out 31 of 472
    assert all(fewest(0.9, t) < fewest(0.9, t + 1) for t in range(20))


def test_an_estimate_is_seldom_below_the_true_percentile() -> None:
    rng = np.random.default_rng(0)
    true = -math.log(0.1)  # the 90th percentile of the exponential distribution
    found = [estimate(rng.exponential(size=500).tolist(), 0.9) for _ in range(400)]
    below = sum(one is not None and one < true for one in found)
    assert below <= 10  # 1 % is allowed: 4 are expected
    assert estimate([1.0] * 63, 0.9) is None and estimate([1.0] * 63 + [9.0], 0.9) == 9.0


def test_more_queries_bring_the_estimate_nearer() -> None:
    found = [estimate(list(range(n)), 0.9) for n in (64, 640, 6400, 64000)]
    shares = [one / n for one, n in zip(found, (64, 640, 6400, 64000), strict=True) if one]
    assert all(one > other > 0.9 for one, other in pairwise(shares))


def test_a_percentile_is_the_nearest_rank() -> None:
    assert [percentile([1, 2, 3, 4], share) for share in (0.0, 0.25, 0.5, 0.51, 1.0)] == [1, 1, 2, 3, 4]


def test_times_and_rates_as_they_are_typed() -> None:
    assert [milliseconds(text, "--x") for text in ("15ms", "2 s", "500us")] == [15, 2000, 0.5]
    assert [per_second(text, "--x") for text in ("50000/s", "30/min", "7.5", "7200 / h")] == [50000, 0.5, 7.5, 2]
    for read, bad in ((milliseconds, "15"), (milliseconds, "0ms"), (per_second, "fast"), (per_second, "-1/s")):
        with pytest.raises(UsageError, match="--x"):
            read(bad, "--x")
