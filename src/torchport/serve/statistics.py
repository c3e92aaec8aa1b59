"""What a model has answered: counts and times, as the protocol's statistics and Prometheus tell them."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..feed import is_batched
from ..tasks.pipeline import OpenGraph

PHASES = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")

BUCKETS_MS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
"""Upper ends of the classes in which durations of requests are counted."""


_ENDS = (*BUCKETS_MS, float("inf"))


@dataclass
class Sum:
    """How often, and how long in all."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        """One more, or some more, that took so long."""
        self.count += count
        self.ns += ns


@dataclass
class Statistics:
    """Of one model; any thread may add to it.

    Attributes:
        sums: phase -> of requests. `compute_input` is decoding and what the host prepares, `compute_infer` the graphs
            and what follows them, `compute_output` is 0: encoding is not told apart.
        batches: items of a call of the model's graph -> such calls.
        inferences: items that the graph answered.
        durations: upper end of a class in milliseconds -> requests that took no longer than this, and longer than the
            class before.
        rejected: requests that were turned away because too many waited.
        last: when the last request was answered, in milliseconds of the epoch.
    """

    sums: dict[str, Sum] = field(default_factory=lambda: {phase: Sum() for phase in PHASES})
    batches: dict[int, Sum] = field(default_factory=lambda: defaultdict(Sum))
    durations: dict[float, int] = field(default_factory=lambda: dict.fromkeys(_ENDS, 0))
    inferences: int = 0
    rejected: int = 0
    last: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def ended(self, total_ns: int, queue_ns: int, *, failed: bool, prepared_ns: int = 0) -> None:
        """One request was answered, or failed."""
        with self._lock:
            if failed:
                self.sums["fail"].add(total_ns)
                return
            self.sums["success"].add(total_ns)
            self.sums["queue"].add(queue_ns)
            self.sums["compute_input"].add(prepared_ns)
            self.sums["compute_infer"].add(total_ns - queue_ns - prepared_ns)
            self.last = int(time.time() * 1000)
            self.durations[_ENDS[bisect_left(BUCKETS_MS, total_ns / 1e6)]] += 1

    def called(self, items: int, ns: int) -> None:
        """The model's graph was called with a batch of so many items."""
        with self._lock:
            self.batches[items].add(ns)
            self.inferences += items

    def turned_away(self) -> None:
        """A request found too many others waiting."""
        with self._lock:
            self.rejected += 1

    def to_json(self, name: str, version: str) -> dict[str, Any]:
        """One element of the protocol's `model_stats`."""
        with self._lock:
            return {
                "name": name,
                "version": version,
                "last_inference": self.last,
                "inference_count": self.inferences,
                "execution_count": sum(one.count for one in self.batches.values()),
                "inference_stats": {phase: {"count": one.count, "ns": one.ns} for phase, one in self.sums.items()},
                "batch_stats": [
                    {
                        "batch_size": size,
                        "compute_input": {"count": one.count, "ns": 0},
                        "compute_infer": {"count": one.count, "ns": one.ns},
                        "compute_output": {"count": one.count, "ns": 0},
                    }
                    for size, one in sorted(self.batches.items())
                ],
                "memory_usage": [],
                "response_stats": {},
            }


@dataclass
class Counted:
    """A graph whose calls are counted."""

    inner: OpenGraph
    statistics: Statistics

    def __post_init__(self) -> None:
        self.signature, self.graph = self.inner.signature, self.inner.graph
        self._batched = next((spec.name for spec in self.signature.inputs if is_batched(spec)), None)

    def run(self, feed: Any) -> dict[str, np.ndarray]:
        """As the graph inside."""
        began = time.perf_counter_ns()
        outputs = self.inner.run(feed)
        items = len(feed[self._batched]) if self._batched else 1
        self.statistics.called(items, time.perf_counter_ns() - began)
        return outputs
