"""The JSON documents of verbs that answer many inputs, put a load on a model, or plan for one."""

from __future__ import annotations

from typing import Literal

from ..types import Value


class BatchDocument(Value, frozen=True):
    """What `batch` prints: the output and how many rows it has; each row is an element of what `predict` prints.

    `failed` are the rows without an answer, `skipped` those that were there before this run.
    """

    output: str
    bundle: str
    variant: str
    inputs: int
    failed: int
    skipped: int
    seconds: float


class Latencies(Value, frozen=True):
    """Milliseconds from the scheduled time of a query to its answer."""

    mean: float
    p50: float
    p90: float
    p99: float
    greatest: float


class Try(Value, frozen=True):
    """One step of the search for the greatest rate."""

    qps: float
    valid: bool
    p99_ms: float | None


class LoadDocument(Value, frozen=True):
    """What `loadtest` prints: how fast one scenario was answered, and whether the run can say so.

    `subject` is the Bundle or URL, and `name` the variant or model that answered. `achieved` is samples a second.
    `estimate_ms` is the early-stopping estimate of the percentile `share`: with 99 % confidence that share of all
    queries is faster. `bound_ms`, `asked_qps`, `beyond` (queries beyond the bound) and `tries` are of the scenario
    `server`. `why` says why the run is valid or not. `agreement` is the share of answers that agree with the first
    answer to the same sample, `accuracy` the metric where samples have labels.
    """

    subject: str
    name: str
    scenario: Literal["single-stream", "multi-stream", "server", "offline"]
    seconds: float
    queries: int
    samples_per_query: int
    failed: int
    achieved: float
    latency_ms: Latencies | None
    share: float | None
    estimate_ms: float | None
    bound_ms: float | None
    asked_qps: float | None
    beyond: int | None
    valid: bool
    why: str
    agreement: float
    accuracy: float | None
    metric: str | None
    tries: tuple[Try, ...] = ()
    notes: tuple[str, ...] = ()


class CurvePoint(Value, frozen=True):
    """How long a batch takes, and how many items a second that is."""

    batch: int
    ms: float
    per_second: float


class LoadPoint(Value, frozen=True):
    """The 99th percentile at another rate, a `share` of the planned one; null where more comes than is answered."""

    rate: float
    share: float
    p99_ms: float | None


class LostPoint(Value, frozen=True):
    """The 99th percentile with fewer replicas; null where more comes than is answered."""

    lost: int
    p99_ms: float | None


class PlanDocument(Value, frozen=True):
    """What `plan` prints: how many replicas a rate takes, by simulation from the measured time of batches.

    `batch` is what to give `serve --batch`, and `threads` what to give `serve --threads`. `per_replica` is the greatest
    rate of one replica that keeps `p99_ms`. `mean_batch`, `busy` (share of the time) and the expected percentiles are
    at the planned rate. `cost_per_million` answers is in the unit of the price.
    """

    bundle: str
    variant: str
    rate: float
    p99_ms: float
    replicas: int
    batch: int
    threads: int
    cores: int
    machines: int | None
    memory_bytes: int | None
    per_replica: float
    expected_p50_ms: float
    expected_p99_ms: float
    mean_batch: float
    busy: float
    cost_per_million: float | None
    curve: tuple[CurvePoint, ...]
    by_load: tuple[LoadPoint, ...]
    by_lost: tuple[LostPoint, ...]
    assumptions: tuple[str, ...]
    notes: tuple[str, ...] = ()


KINDS: dict[str, type[Value]] = {"batch": BatchDocument, "loadtest": LoadDocument, "plan": PlanDocument}
"""Verb -> its document."""
