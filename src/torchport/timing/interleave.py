"""Interleaved timing: the children take turns, round by round in a shuffled order, one at a time.

A machine's speed drifts with heat, frequency and neighbours. Timing one artefact after the other would charge the drift
to whoever came last; in turns everybody pays alike, and the spread between rounds says how much to believe.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from ..errors import RunError
from ..tasks.plan import PlanRecord
from ..types import Artifact, Signature, Timing, Used
from . import memory, protocol
from .fork_server import ForkServer, able, module_of
from .process import Process

Key = tuple[str, int | None]


class Servers:
    """The fork servers of one measurement: one for each runtime that several jobs need, or that was started ahead.

    A context manager, which ends those that it started.
    """

    def __init__(self, jobs: Sequence[Job], ahead: ForkServer | None) -> None:
        self._needed = Counter(module_of(job.target) for job in jobs) if able() else Counter[str]()
        self._ahead = ahead
        self._started: dict[str, ForkServer] = {} if ahead is None else {ahead.module: ahead}

    def start(self, job: Job, limit_s: float, log: Path | None) -> Process:
        """A process for a job: forked where its runtime is imported already, else a fresh one, which can say what is
        wrong with it.
        """
        module = module_of(job.target)
        if module and module not in self._started and self._needed[module] > 1:
            self._started[module] = ForkServer(job.target)
        if module in self._started:
            with suppress(RunError):
                return Process(limit_s=limit_s, log=log, server=self._started[module])
        return Process(limit_s=limit_s, log=log)

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._started.values():
            if server is not self._ahead:
                server.__exit__()


LIMIT_S = 120.0
"""How long one answer of a timing process may take where nobody says otherwise, in seconds."""

_MOST_OPEN = 24
_LEAST_MEMORY_LEFT = 0.2
_MOST_CALLS = 200


@dataclass(frozen=True)
class Job:
    """One artefact to time, at one number of threads.

    Attributes:
        id: the candidate's id; with `threads` it names the job.
        target, artifact, folder, signature, graph, device, threads: what `Target.open` takes.
        feed: safetensors file with one batch-1 feed of the graph; with a chain, the raw bytes of one item.
        chain: the whole chain to time instead of one graph; `graph` then only says whose `used` to tell.
    """

    id: str
    target: str
    artifact: Artifact
    folder: Path
    signature: Signature
    feed: Path
    threads: int | None
    graph: str = "model"
    device: str = "cpu"
    chain: PlanRecord | None = None

    @property
    def key(self) -> Key:
        """What `measure` answers under."""
        return self.id, self.threads

    @property
    def words(self) -> str:
        """The job in a progress line."""
        return (
            self.id
            if self.threads is None
            else f"{self.id}, {self.threads} {'thread' if self.threads == 1 else 'threads'}"
        )


@dataclass(frozen=True)
class Measurement:
    """What was found of one job; `error` says why there is no timing.

    Attributes:
        memory_bytes: peak above an empty process of that runtime, from before opening until it is warm.
        used: what really ran.
    """

    timing: Timing | None = None
    memory_bytes: int | None = None
    used: Used | None = None
    error: str | None = None


def thread_counts(usable: int) -> list[int]:
    """Numbers of threads worth trying on so many cores: one, all, and from eight cores on the half."""
    return sorted({1, usable} | ({usable // 2} if usable >= 8 else set()))


def summarise(rounds: Iterable[Sequence[float]]) -> Timing:
    """Raw times in milliseconds, one list a round, as a Timing.

    `median` and `p90` are over all calls. `noise` is the spread of the round medians relative to the median: 1.4826
    times their median absolute deviation, which is the standard deviation where they are normal and which one disturbed
    round does not move.
    """
    kept = tuple(tuple(round(ms, 5) for ms in times) for times in rounds)
    calls = sorted(ms for times in kept for ms in times)
    middle, medians = median(calls), [median(times) for times in kept]
    spread = 1.4826 * median(abs(x - median(medians)) for x in medians)
    return Timing(
        median=middle, p90=calls[math.ceil(0.9 * len(calls)) - 1], noise=spread / middle if middle else 0.0, rounds=kept
    )


def measure(
    jobs: Sequence[Job],
    *,
    rounds: int = 7,
    seconds: float = 1.0,
    limit_s: float = LIMIT_S,
    most_s: float = 60.0,
    progress: Callable[[str], None] | None = None,
    log: Path | None = None,
    ahead: ForkServer | None = None,
) -> dict[Key, Measurement]:
    """Time and weigh every job in a process of its own.

    All are opened and warmed up, then timed interleaved. Where opening them together would take the machine's memory
    (or there are more than 24), they are timed group by group. Where all rounds together would take more than `most_s`,
    there are fewer, at least three.

    Args:
        rounds: how many turns each job takes.
        seconds: time spent on timed calls of one job, over all rounds.
        limit_s: wall-clock limit of one answer of a child: importing, opening or one turn.
        most_s: time for all rounds of a group, in seconds.
        progress: called with what begins, in words.
        log: file that what the runtimes print is appended to.
        ahead: a server whose runtime is imported already.

    Returns:
        One Measurement a job, by `(id, threads)`. A job that fails, crashes or hangs carries an error; the others go
        on.
    """
    tell = progress or (lambda words: None)
    found: dict[Key, Measurement] = {}
    pending = list(jobs)
    assert len({job.key for job in pending}) == len(pending), "jobs differ in id or threads"
    while pending:
        # the servers outlive their children, whose ends they tell
        with Servers(pending[:_MOST_OPEN], ahead) as servers, ExitStack() as stack:
            group = _prepare(pending[:_MOST_OPEN], found, stack, tell, lambda job: servers.start(job, limit_s, log))
            ready = _open(group, found, tell)
            _time(ready, found, rounds, seconds, most_s, tell)
        pending = [job for job in pending if job.key not in found]
    return {job.key: found[job.key] for job in jobs}


@dataclass(frozen=True)
class _Running:
    job: Job
    process: Process
    call_ms: float = 0.0


def _prepare(
    jobs: Sequence[Job],
    found: dict[Key, Measurement],
    stack: ExitStack,
    tell: Callable[[str], None],
    start: Callable[[Job], Process],
) -> list[_Running]:
    """Start one child a job; they import their runtimes side by side, because imports are not timed."""
    tell(f"starting {len(jobs)} processes")
    started = []
    for job in jobs:
        process = stack.enter_context(start(job))
        process.tell(protocol.Prepare(job.target, job.artifact.imports, str(job.feed), job.chain))
        started.append(_Running(job, process))
    ready = []
    for one in started:
        try:
            one.process.hear(protocol.Ready, "importing the runtime")
            ready.append(one)
        except RunError as exc:
            found[one.job.key] = Measurement(error=str(exc))
    return ready


def _open(group: Sequence[_Running], found: dict[Key, Measurement], tell: Callable[[str], None]) -> list[_Running]:
    """Open them one after the other, while memory is left; those not reached are left for the next group."""
    opened: list[_Running] = []
    for one in group:
        if opened and memory.left_share() < _LEAST_MEMORY_LEFT:
            break
        job = one.job
        tell(f"opening {job.words}")
        command = protocol.Open(job.artifact, str(job.folder), job.signature, job.graph, job.device, job.threads)
        try:
            answer = one.process.ask(command, protocol.Opened, "opening")
            one.process.rest()
        except RunError as exc:
            found[job.key] = Measurement(error=str(exc))
            continue
        found[job.key] = Measurement(memory_bytes=answer.memory_bytes, used=answer.used)
        opened.append(replace(one, call_ms=answer.call_ms))
    return opened


def _time(
    running: Sequence[_Running],
    found: dict[Key, Measurement],
    rounds: int,
    seconds: float,
    most_s: float,
    tell: Callable[[str], None],
) -> None:
    turn_ms = 1000 * seconds / rounds
    calls = {one.job.key: max(1, min(_MOST_CALLS, int(turn_ms / max(one.call_ms, 1e-6)))) for one in running}
    round_s = sum(max(one.call_ms, turn_ms) for one in running) / 1000
    rounds = max(min(3, rounds), min(rounds, int(most_s / max(round_s, 1e-6))))
    raw: dict[Key, list[tuple[float, ...]]] = {one.job.key: [] for one in running}
    order, dice = list(running), random.Random(0)  # noqa: S311 - an order, not a secret
    for number in range(rounds):
        tell(f"timing round {number + 1} of {rounds}")
        dice.shuffle(order)
        for one in list(order):
            key = one.job.key
            try:
                raw[key].append(one.process.ask(protocol.Turn(calls[key]), protocol.Times, "timed").ms)
                one.process.rest()
            except RunError as exc:
                found[key] = replace(found[key], error=str(exc))
                order.remove(one)
    for one in order:
        found[one.job.key] = replace(found[one.job.key], timing=summarise(raw[one.job.key]))
