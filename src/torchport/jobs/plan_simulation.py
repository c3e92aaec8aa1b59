"""A replica of `torchport serve` on paper: requests come at random, and a free instance takes up to a batch of those
that wait. Nobody waits for company.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .load_statistics import percentile

REQUESTS = 40_000
"""Requests of one simulation: 400 of them lie beyond its 99th percentile."""

SETTLE = 0.1
"""Share of the requests that are left out at the start, when the queue is still empty."""


STEP = 0.005
"""How near the greatest rate is found, as a share."""


@dataclass(frozen=True)
class Curve:
    """How long a call of some items takes.

    Attributes:
        ms: batch size -> median in ms, 1 among them.
        noise: durations as multiples of their median, as they were measured; one of them is drawn for each call.
    """

    ms: Mapping[int, float]
    noise: Sequence[float] = (1.0,)

    def all(self, most: int) -> list[float]:
        """The median of every batch size from 0 to `most`, on straight lines between those that were measured, and on
        the last one beyond them.
        """
        sizes = sorted(self.ms)
        times = [self.ms[size] for size in sizes]
        found = np.interp(np.arange(most + 1), sizes, times).tolist()
        slope = (times[-1] - times[-2]) / (sizes[-1] - sizes[-2]) if len(sizes) > 1 else times[0]
        for size in range(sizes[-1] + 1, most + 1):
            found[size] = times[-1] + slope * (size - sizes[-1])
        return [float(one) for one in found]

    def capacity(self, batch: int) -> float:
        """Answers a second of one instance that is never idle, with batches of at most that size."""
        times, noise = self.all(batch), float(np.mean(self.noise))
        return max(1e3 * size / (times[size] * noise) for size in range(1, batch + 1))


@dataclass(frozen=True)
class Simulated:
    """What became of the requests: latencies in ms, the mean batch, and the share of time in which instances worked."""

    p50: float
    p99: float
    batch: float
    busy: float


def simulate(curve: Curve, rate: float, batch: int, instances: int = 1, seed: int = 0) -> Simulated:
    """One replica under Poisson arrivals.

    Args:
        rate: requests a second, below `capacity`: above it the queue grows without end.
        batch: items of one call, at most.
    """
    rng = np.random.default_rng(seed)  # the same arrivals, stretched, and the same noise at every rate
    came = np.cumsum(rng.exponential(1e3 / rate, REQUESTS)).tolist()
    noise = rng.choice(np.asarray(curve.noise), REQUESTS).tolist()
    times = curve.all(batch)
    free = [0.0] * instances
    waited: list[float] = []
    first = calls = 0
    worked = 0.0
    while first < REQUESTS:
        began = max(heapq.heappop(free), came[first])
        last = min(max(bisect_right(came, began, first), first + 1), first + batch)
        took = times[last - first] * noise[calls]
        waited += [began + took - moment for moment in came[first:last]]
        heapq.heappush(free, began + took)
        first, calls, worked = last, calls + 1, worked + took
    settled = sorted(waited[int(REQUESTS * SETTLE) :])
    return Simulated(
        percentile(settled, 0.5), percentile(settled, 0.99), REQUESTS / calls, worked / instances / max(free)
    )


def greatest_rate(curve: Curve, p99_ms: float, batch: int, instances: int = 1, least: float = 0.0) -> float:
    """The most requests a second of which 99 % are answered within a time.

    Args:
        least: it is returned where no greater rate keeps the time.
    """
    low, high = least, instances * curve.capacity(batch)
    idle = STEP * high  # a rate at which hardly anything waits
    while high - low > STEP * high and high > idle:
        middle = (low + high) / 2
        kept = simulate(curve, middle, batch, instances).p99 <= p99_ms
        low, high = (middle, high) if kept else (low, middle)
    return low
