"""What the server has done, for Prometheus; the names are those of Triton's metrics where it has such a one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from .app import App
from .faces import VERSION
from .models import Loaded
from .statistics import BUCKETS_MS, Statistics

_LABELS = ("model", "version")


class _Collector:
    """Reads the statistics when it is asked, so that requests pay nothing for it."""

    def __init__(self, app: App) -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        loaded = {face.loaded.name: face.loaded for face in self._app.repository.faces}.values()
        yield from _counters(loaded)
        pending = GaugeMetricFamily("nv_inference_pending_request_count", "Requests that wait now", labels=_LABELS)
        histogram = HistogramMetricFamily("torchport_request_duration_ms", "Requests by their duration", labels=_LABELS)
        for one in loaded:
            pending.add_metric(_labels(one), len(one.engine.queue))
            histogram.add_metric(_labels(one), *_buckets(one))
        yield pending
        yield histogram
        ready = GaugeMetricFamily("torchport_ready", "1 where the server answers requests")
        ready.add_metric([], float(self._app.ready()))
        yield ready


def _labels(one: Loaded) -> list[str]:
    return [one.name, VERSION]


_COUNTERS: dict[str, tuple[str, Callable[[Statistics], float]]] = {
    "nv_inference_request_success": ("Requests that were answered", lambda of: of.sums["success"].count),
    "nv_inference_count": ("Items that the model answered", lambda of: of.inferences),
    "nv_inference_exec_count": (
        "Calls of the model, each of a batch",
        lambda of: sum(one.count for one in of.batches.values()),
    ),
    "nv_inference_request_duration_us": (
        "Time of requests from their coming to their answer",
        lambda of: of.sums["success"].ns / 1000,
    ),
    "nv_inference_queue_duration_us": ("Time that requests waited for their turn", lambda of: _us(of, "queue")),
    "nv_inference_compute_input_duration_us": (
        "Time of decoding and preparing inputs",
        lambda of: _us(of, "compute_input"),
    ),
    "nv_inference_compute_infer_duration_us": (
        "Time of the model, its batch and what follows",
        lambda of: _us(of, "compute_infer"),
    ),
    "nv_inference_compute_output_duration_us": ("Not told apart: 0", lambda of: _us(of, "compute_output")),
}
"""Name of a counter -> what it counts, and its value."""


def _us(of: Statistics, phase: str) -> float:
    return of.sums[phase].ns / 1000


def _counters(loaded: Collection[Loaded]) -> Iterator[Metric]:
    for name, (about, value) in _COUNTERS.items():
        family = CounterMetricFamily(name, about, labels=_LABELS)
        for one in loaded:
            family.add_metric(_labels(one), value(one.statistics))
        yield family
    failed = CounterMetricFamily("nv_inference_request_failure", "Requests that failed", labels=(*_LABELS, "reason"))
    for one in loaded:
        failed.add_metric([*_labels(one), "OTHER"], one.statistics.sums["fail"].count)
        failed.add_metric([*_labels(one), "REJECTED"], one.statistics.rejected)
    yield failed


def _buckets(one: Loaded) -> tuple[list[tuple[str, float]], float]:
    """Cumulated counts by upper end, and the sum of all durations in milliseconds."""
    counts, total = [], 0
    for end in (*BUCKETS_MS, float("inf")):
        total += one.statistics.durations[end]
        counts.append(("+Inf" if end == float("inf") else str(end), float(total)))
    return counts, one.statistics.sums["success"].ns / 1e6


def text(app: App) -> tuple[str, bytes]:
    """Content type and text of all metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(app))
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)
