"""`torchport loadtest`: four LoadGen-style scenarios against a Bundle or a server.

A query's latency counts from the time at which it was due, not from when it was sent: where a slow answer keeps later
queries from being sent, they were late all the same. Answers are compared within the run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from ..errors import RunError, TorchportError, first_line
from ..figures import milliseconds, number, percent, seconds
from ..serve.documents import Latencies, LoadDocument, Try
from .load_statistics import estimate, fewest, holds, percentile
from .load_subjects import Answer, Subject, wait_until

Scenario = Literal["single-stream", "multi-stream", "server", "offline"]
SCENARIOS: tuple[Scenario, ...] = ("single-stream", "multi-stream", "server", "offline")

PER_QUERY = 8
"""Samples of a query of the scenario multi-stream."""

SHARE = {"single-stream": 0.9, "multi-stream": 0.99, "server": 0.99}
"""The percentile that a scenario is about."""

LONG_S = 600
"""Seconds that a run takes by LoadGen's own settings; a shorter one is called short."""

STEPS = 9
"""Probes of the search for the greatest rate at most, each a quarter of a run."""

NEAR = 0.05
"""How near to each other a rate that is kept and one that is not end the search, as a share."""

BACK = 0.95
"""The next rate where a whole run at the found one fails."""

DRAIN_S = 30.0
"""How long answers are waited for once the last query was due."""


@dataclass(frozen=True)
class Asked:
    """How to test.

    Attributes:
        seconds: of the measured run.
        qps: rate of the scenario server; None searches for the greatest one.
        bound_ms: within which 99 % of the queries of the scenario server are to be answered.
        batch: samples of one call in the scenario offline, at most.
        seed: of the order of samples and the times of queries.
    """

    scenario: Scenario
    seconds: float = 10.0
    qps: float | None = None
    bound_ms: float = 15.0
    batch: int = 16
    seed: int = 0


@dataclass
class Log:
    """What was answered: latencies of the queries in ms, and which answers are not the first one to their sample."""

    first: Sequence[Answer]
    latencies: list[float] = field(default_factory=list)
    same: list[int] = field(default_factory=list)
    others: list[tuple[int, Answer]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def answered(self, sample: int, answer: Answer) -> bool:
        """Note an answer; False where it is an error."""
        if isinstance(answer, Exception):
            self.errors.append(answer)
            return False
        if answer == self.first[sample]:
            self.same.append(sample)
        else:
            self.others.append((sample, answer))
        return True


@dataclass(frozen=True)
class Run:
    """One measured run."""

    log: Log
    queries: int
    seconds: float

    @property
    def ordered(self) -> list[float]:
        """The latencies, those of failed queries infinite."""
        return sorted(self.log.latencies) + [float("inf")] * (self.queries - len(self.log.latencies))


def loadtest(subject: Subject, about: str, asked: Asked, tell: Callable[[str], None] = lambda _: None) -> LoadDocument:
    """Run one scenario.

    Args:
        about: the Bundle or URL as the user named it.

    Raises:
        RunError: a sample cannot be answered even alone.
    """
    tell("the first answer to each sample")
    first: list[Answer] = []
    for sample in range(len(subject.labels)):
        (answer,) = subject.ask([sample])
        if isinstance(answer, Exception):
            raise RunError(
                f"sample {sample}: {first_line(answer, kind=False)}", "give samples that are answered by --data"
            )
        first.append(answer)
    tries: list[Try] = []
    qps = asked.qps
    if asked.scenario == "server":
        if qps is None:
            qps, tries = _search(subject, asked, first, tell)
        run, qps = _whole(subject, asked, first, qps, tries, tell)
    else:
        tell(f"{asked.scenario}, {seconds(asked.seconds)}")
        run = _offline(subject, asked, first) if asked.scenario == "offline" else _streams(subject, asked, first)
    return _document(subject, about, asked, run, qps, tries)


def _samples(asked: Asked, count: int) -> Iterator[int]:
    """Numbers of samples without end, in an order that the seed decides."""
    rng = np.random.default_rng(asked.seed)
    while True:
        yield from rng.integers(count, size=1024).tolist()


def _streams(subject: Subject, asked: Asked, first: Sequence[Answer]) -> Run:
    """One query after the other, each sent when the one before is answered."""
    log, size = Log(first), PER_QUERY if asked.scenario == "multi-stream" else 1
    samples, queries = _samples(asked, len(first)), 0
    began = now = time.perf_counter()
    while now - began < asked.seconds:
        query = [next(samples) for _ in range(size)]
        sent = time.perf_counter()
        answers = subject.ask(query)
        now = time.perf_counter()
        queries += 1
        kept = [log.answered(sample, answer) for sample, answer in zip(query, answers, strict=True)]
        if all(kept):
            log.latencies.append((now - sent) * 1e3)
    return Run(log, queries, now - began)


def _offline(subject: Subject, asked: Asked, first: Sequence[Answer]) -> Run:
    """All samples at once, as many as are taken within the time."""
    log = Log(first)
    taken: list[int] = []
    began = time.perf_counter()

    def due() -> Iterator[int]:
        for sample in _samples(asked, len(first)):
            if time.perf_counter() - began >= asked.seconds:
                return
            taken.append(sample)
            yield sample

    for at, answer in enumerate(subject.stream(due(), asked.batch)):
        log.answered(taken[at], answer)
    return Run(log, len(taken), time.perf_counter() - began)


def _server(subject: Subject, asked: Asked, first: Sequence[Answer], qps: float, length: float) -> Run:
    """Queries at random times, at a rate, whatever becomes of those before (Poisson arrivals)."""
    rng = np.random.default_rng(asked.seed)
    due = np.cumsum(rng.exponential(1 / qps, max(int(qps * length), 1))).tolist()
    samples, log, left = _samples(asked, len(first)), Log(first), threading.Semaphore(0)

    def done(sample: int, moment: float, answer: Answer) -> None:
        now = time.perf_counter()
        if log.answered(sample, answer):
            log.latencies.append((now - moment) * 1e3)
        left.release()

    began = time.perf_counter()
    for moment, sample in zip(due, samples, strict=False):
        wait_until(began + moment)
        subject.submit(sample, partial(done, sample, began + moment))
    until = time.perf_counter() + DRAIN_S
    answered = sum(left.acquire(timeout=max(0.0, until - time.perf_counter())) for _ in due)
    log.errors += [RunError(f"no answer within {seconds(DRAIN_S)}")] * (len(due) - answered)
    return Run(log, len(due), time.perf_counter() - began)


def _search(
    subject: Subject, asked: Asked, first: Sequence[Answer], tell: Callable[[str], None]
) -> tuple[float, list[Try]]:
    """The greatest rate that short runs keep, by bisection from what is answered without a schedule."""
    tell("the rate without a schedule")
    length = max(asked.seconds / 4, 0.2)
    most = _offline(subject, Asked("offline", length, batch=asked.batch, seed=asked.seed), first)
    rate = 0.8 * max(len(most.log.same) + len(most.log.others), 1) / most.seconds
    low, high = 0.0, float("inf")
    tries: list[Try] = []
    while len(tries) < STEPS and low < (1 - NEAR) * high:
        tell(f"{number(rate)} queries a second")
        run = _server(subject, asked, first, rate, length)
        kept = not run.log.errors and _within(run, asked.bound_ms)
        tries.append(_try(run, rate, kept))
        low, high = (rate, high) if kept else (low, rate)
        rate = (low + high) / 2 if high < float("inf") else 1.3 * rate
    return low or high, tries


def _within(run: Run, bound_ms: float) -> bool:
    """Whether 99 % of this run's queries were within the bound; it proves nothing of others."""
    return percentile(run.ordered, SHARE["server"]) <= bound_ms


def _whole(
    subject: Subject,
    asked: Asked,
    first: Sequence[Answer],
    qps: float,
    tries: list[Try],
    tell: Callable[[str], None],
) -> tuple[Run, float]:
    """A whole run at a rate; after a search at lower ones too, until one is valid or four failed."""
    for left in range(3 if asked.qps is None else 0, -1, -1):
        tell(f"server, {number(qps)} queries a second, {seconds(asked.seconds)}")
        run = _server(subject, asked, first, qps, asked.seconds)
        valid, _ = _verdict(run, asked)
        if tries:
            tries.append(_try(run, qps, valid))
        if valid or not left or (_within(run, asked.bound_ms) and not run.log.errors):  # too short to show it
            break
        qps *= BACK
    return run, qps


def _try(run: Run, qps: float, valid: bool) -> Try:
    p99 = percentile(run.ordered, 0.99)
    return Try(qps=round(qps, 3), valid=valid, p99_ms=round(p99, 4) if p99 < float("inf") else None)


def _beyond(run: Run, bound_ms: float) -> int:
    return sum(one > bound_ms for one in run.ordered)


def _verdict(run: Run, asked: Asked) -> tuple[bool, str]:
    """Whether a run shows what its scenario asks for, and why."""
    if run.log.errors:
        return False, f"{len(run.log.errors)} samples failed: {first_line(run.log.errors[0], kind=False)}"
    if asked.scenario == "offline":
        return True, f"all {run.queries:,} samples were answered"
    share = SHARE[asked.scenario]
    if asked.scenario != "server":
        if holds(1, run.queries, share):
            return True, f"{run.queries:,} queries are enough for a {percent(share)} bound with 99 % confidence"
        return (
            False,
            f"{run.queries:,} queries; {fewest(share):,} are needed for a {percent(share)} bound: give --seconds",
        )
    beyond, bound = _beyond(run, asked.bound_ms), milliseconds(asked.bound_ms)
    said = f"{beyond:,} of {run.queries:,} queries took longer than {bound}"
    if holds(beyond, run.queries, share):
        return True, f"{said}: with 99 % confidence {percent(share)} of all queries are within it"
    if _within(run, asked.bound_ms):
        needed = f"{fewest(share, beyond):,} queries show that {percent(share)} of all are within it"
        return False, f"{said}; if it stays at that, {needed}: give more --seconds"
    return False, f"{said}, more than {percent(1 - share)}"


def _document(
    subject: Subject, about: str, asked: Asked, run: Run, qps: float | None, tries: Sequence[Try]
) -> LoadDocument:
    log, ordered = run.log, sorted(run.log.latencies)
    share, server = SHARE.get(asked.scenario), asked.scenario == "server"
    found = estimate(run.ordered, share) if share else None
    valid, why = _verdict(run, asked)
    agreement, accuracy = _judged(subject, log)
    notes = [f"a run of {seconds(run.seconds)}; LoadGen's own settings take {LONG_S} s"] if run.seconds < LONG_S else []
    return LoadDocument(
        subject=about,
        name=subject.name,
        scenario=asked.scenario,
        seconds=round(run.seconds, 3),
        queries=run.queries,
        samples_per_query=PER_QUERY if asked.scenario == "multi-stream" else 1,
        failed=len(log.errors),
        achieved=round((len(log.same) + len(log.others)) / run.seconds, 3),
        latency_ms=_latencies(ordered) if ordered else None,
        share=share,
        estimate_ms=None if found is None or found == float("inf") else round(found, 4),
        bound_ms=asked.bound_ms if server else None,
        asked_qps=round(qps, 3) if server and qps else None,
        beyond=_beyond(run, asked.bound_ms) if server else None,
        valid=valid,
        why=why,
        agreement=agreement,
        accuracy=accuracy,
        metric=None if accuracy is None or subject.task is None else subject.task.metric,
        tries=tuple(tries),
        notes=tuple(notes),
    )


def _latencies(ordered: Sequence[float]) -> Latencies:
    return Latencies(
        mean=round(sum(ordered) / len(ordered), 4),
        p50=round(percentile(ordered, 0.5), 4),
        p90=round(percentile(ordered, 0.9), 4),
        p99=round(percentile(ordered, 0.99), 4),
        greatest=round(ordered[-1], 4),
    )


def _judged(subject: Subject, log: Log) -> tuple[float, float | None]:
    """Share of answers that agree with the first one to their sample, and the metric where samples have labels."""
    known = [subject.read(answer) for answer in log.first]
    others = [(sample, subject.read(answer)) for sample, answer in log.others]
    agreed = len(log.same) + sum(subject.agree(answer, known[sample]) for sample, answer in others)
    total = len(log.same) + len(log.others)
    task = subject.task
    if task is None or any(label is None for label in subject.labels) or not total:
        return agreed / max(total, 1), None

    def score(sample: int, answer: Any) -> float:
        try:
            return task.score(answer, subject.labels[sample])
        except (TorchportError, KeyError, TypeError):
            return 0.0

    by_sample = [score(sample, answer) for sample, answer in enumerate(known)]
    whole = sum(by_sample[sample] for sample in log.same) + sum(score(*other) for other in others)
    return agreed / total, round(whole / total, 6)
