"""Time and weigh what stands in a folder of variants: candidates with latency, memory and size filled in."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from .. import feed
from ..choice.screening import worth_measuring
from ..errors import BadInput
from ..figures import percent
from ..stats import EQUAL_FILES
from ..system.disk import temporary
from ..system.machine import describe, usable_cores
from ..types import Artifact, Bound, Candidate, Reference, Signature
from . import ForkServer, Job, Measurement, measure, summarise, thread_counts

if TYPE_CHECKING:
    from ..deployment.prove import ReferenceAnswers
    from ..tasks import Plan
    from ..tasks.plan import PlanRecord
    from ..verification.traces import Trace

EAGER = "reference"

LIMIT_S = 900.0
"""How long one answer of a timing process may take where nobody says otherwise, in seconds."""

ELSEWHERE = ("web", "android", "ios")
"""Profiles whose candidates are timed here although they will run on another device."""

NEAR = 1.5
"""How much slower than the fastest of its profile a job may be and still be timed again, as a ratio."""

TINY_MS = 0.25
"""What the model as trained answers in less than this, in milliseconds on one thread, is timed on one thread only:
waking others takes as long.
"""

RUN_OFFS = 6
"""How often those are timed again, each time in new processes: where memory falls and which pages are huge is settled
once a process, and makes the same artefact up to a tenth faster or slower for as long as the process lives. Many short
runs say more than few long ones."""

LEAST_RUN_OFFS, RUN_OFFS_S = 2, 60.0
"""How many there are at least, and after how many seconds no further one begins."""


QUICK = "TORCHPORT_QUICK"
"""Environment variable: 1 times everything briefly where nobody says otherwise."""


def quick_by_default() -> bool:
    """Whether the environment asks for brief timings."""
    return os.environ.get(QUICK, "0") not in ("", "0")


@dataclass(frozen=True)
class Pace:
    """How long timing may take.

    Attributes:
        quick: a moment each.
        short: a moment each first, after which what is clearly beaten is left out.
        limit_s: wall-clock limit of one answer of a timing process, in seconds.
        ahead: a fork server whose runtime is imported already.
        counts: numbers of threads to try; None is what the cores suggest.
    """

    quick: bool = False
    short: bool = False
    limit_s: float = LIMIT_S
    ahead: ForkServer | None = None
    counts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Opened:
    """One artefact to time: what a bench job needs, and where it may run."""

    id: str
    artifact: Artifact
    folder: Path
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Workload:
    """What every job answers: the model graph on one batch-1 feed, or the whole chain on one item's bytes.

    Attributes:
        graph: the graph that is timed, or that stands for the chain.
        file: the feed as safetensors, or the bytes.
        chain: None where one graph is timed.
    """

    graph: str
    signature: Signature
    file: Path
    chain: PlanRecord | None = None


def workload(plan: Plan, one: Trace | None, folder: Path) -> Workload:
    """The work of one item: the graph `model` where it is all that carries weights, else the whole chain.

    Args:
        one: the item as the reference answered it; None makes a feed up, for a single graph.
        folder: where to write the input.

    Raises:
        BadInput: there is no item, and a chain of several graphs has nothing to answer.
    """
    from safetensors.numpy import save_file

    signature, path = plan.signatures[plan.main], folder / "input"
    step = plan.step_of(plan.main)
    if step is not None and not plan.driven:
        feed = made_up(signature) if one is None else {own: one.host[name] for own, name in step.inputs.items()}
        save_file({name: np.ascontiguousarray(array) for name, array in feed.items()}, str(path))
        return Workload(plan.main, signature, path)
    if one is None:
        raise BadInput(
            "there is no golden item to answer, and a chain of several graphs takes no made-up numbers",
            "deploy with --golden 1 or more",
        )
    path.write_bytes(one.host["raw"])
    return Workload(plan.main, signature, path, plan.to_record())


def made_up(signature: Signature) -> dict[str, np.ndarray]:
    """Seeded arrays that fit a signature, every dynamic dimension at its smallest sensible size."""

    def size(dim: str) -> int:
        return signature.dims.get(dim, Bound()).nearest(1 if dim == "batch" else 16)

    return feed.made_up(signature.inputs, size, below=2)


def time_all(
    opened: Sequence[Opened],
    work: Workload,
    tell: Callable[[str], None],
    *,
    quick: bool = False,
    pace: Pace | None = None,
) -> dict[str, dict[int, Measurement]]:
    """id -> threads -> measurement: all interleaved in one run, then those that may win again in run-offs of their own.

    Args:
        quick: a moment each, on all cores, without run-offs; that of `pace` counts where there is one.
    """
    pace = pace or Pace(quick)
    quick = pace.quick
    counts = list(pace.counts or thread_counts(usable_cores()))[-1 if quick else 0 :]
    jobs = [
        Job(
            one.id,
            one.artifact.target,
            one.artifact,
            one.folder,
            work.signature,
            work.file,
            threads,
            work.graph,
            chain=work.chain,
        )
        for one in opened
        for threads in counts
    ]
    how: dict[str, Any] = {"rounds": 3, "seconds": 0.3, "most_s": 10.0} if quick else {}
    found = measure(jobs, progress=tell, limit_s=pace.limit_s, ahead=pace.ahead, **how)
    near = [] if quick else _near(jobs, found, {one.id: one.profiles for one in opened})
    if len({job.id for job in near}) > 1:
        _run_off(near, found, tell)
    return {one.id: {threads: found[one.id, threads] for threads in counts} for one in opened}


def _run_off(
    near: Sequence[Job], found: dict[tuple[str, int | None], Measurement], tell: Callable[[str], None]
) -> None:
    """Time those jobs again and again, and add the rounds to what was found of them."""
    start = time.monotonic()
    for number in range(RUN_OFFS):
        if number >= LEAST_RUN_OFFS and time.monotonic() - start > RUN_OFFS_S:
            break
        words = f"run-off {number + 1} of {RUN_OFFS}"
        again = measure(near, rounds=4, seconds=0.4, most_s=10.0, progress=prefixed(tell, words))
        for key, more in again.items():
            before = found[key].timing
            if before is not None and more.timing is not None:
                found[key] = replace(found[key], timing=summarise([*before.rounds, *more.timing.rounds]))


def prefixed(tell: Callable[[str], None], words: str) -> Callable[[str], None]:
    """A progress callback that puts `words` before what it tells."""
    return lambda text: tell(f"{words}: {text}")


def _glance(opened: Sequence[Opened], work: Workload, tell: Callable[[str], None]) -> dict[str, float]:
    """id -> median milliseconds of a few calls on all cores: enough to tell what is clearly slower."""
    found = time_all(opened, work, lambda text: tell(f"at a glance: {text}"), quick=True)
    return {
        name: measured.timing.median
        for name, by_threads in found.items()
        for measured in by_threads.values()
        if measured.timing is not None
    }


def _near(
    jobs: Sequence[Job], found: Mapping[tuple[str, int | None], Measurement], profiles: Mapping[str, tuple[str, ...]]
) -> list[Job]:
    """The jobs that are not much slower than the fastest of a profile."""
    times = {job.key: timing.median for job in jobs if (timing := found[job.key].timing) is not None}
    chosen = set()
    for profile in {profile for names in profiles.values() for profile in names}:
        race = {key: ms for key, ms in times.items() if profile in profiles[key[0]]}
        limit = NEAR * min(race.values(), default=0.0)
        chosen |= {key for key, ms in race.items() if ms <= limit}
    return [job for job in jobs if job.key in chosen]


def timed(candidate: Candidate, by_threads: Mapping[int, Measurement]) -> Candidate:
    """The candidate at its fastest number of threads."""
    good = {threads: m for threads, m in by_threads.items() if m.timing is not None}
    if not good:
        reason = next((m.error for m in by_threads.values() if m.error), "not timed")
        return msgspec.structs.replace(candidate, status="failed", reason=reason, failed_at="run")
    best = min(good, key=lambda threads: good[threads].timing.median)  # type: ignore[union-attr]
    chosen = good[best]
    return msgspec.structs.replace(
        candidate,
        threads=best,
        latency_ms=chosen.timing,
        by_threads={str(threads): m.timing for threads, m in good.items() if m.timing},
        memory_bytes=chosen.memory_bytes,
        used=chosen.used,
    )


def weighed(candidate: Candidate, folder: Path) -> Candidate:
    """The candidate with its size on disk and, where it may be chosen, its deflated download size, in bytes."""
    return msgspec.structs.replace(
        candidate,
        size_bytes=size_of(folder),
        download_bytes=deflated(folder) if candidate.status in ("ok", "chosen") else None,
    )


def size_of(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def deflated(folder: Path) -> int:
    """Bytes of all files of a folder, deflated one by one and quickly, as a server does on the way: weights hardly get
    smaller by more effort (Whisper's by 5 %), and it takes eight times as long."""
    packed = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        compressor = zlib.compressobj(1)
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                packed += len(compressor.compress(chunk))
        packed += len(compressor.flush())
    return packed


def doubts(
    busy: str | None, rows: Sequence[Candidate], chosen_for: Mapping[str, str], eager: Reference | None = None
) -> tuple[str, ...]:
    """What makes measured latencies less sure than they look, one sentence each.

    Args:
        busy: what `machine.busy` said before they were taken.
        chosen_for: profile -> winner.
    """
    found = [busy] if busy else []
    if eager is not None and eager.reason:
        found.append(
            f"the eager reference could not be timed ({eager.reason}): what was verified is kept, and nothing is said "
            "of speed beside it"
        )
    noises = [c.latency_ms.noise for c in rows if c.latency_ms]
    if noises and median(noises) > EQUAL_FILES:
        found.append(
            f"latencies are noisy: those of one file differ by {percent(median(noises))} from round to round; measure "
            "again on a quiet machine"
        )
    elsewhere = [profile for profile in ELSEWHERE if profile in chosen_for]
    if elsewhere:
        found.append(f"{', '.join(elsewhere)}: ranked on this {describe().architecture} CPU, not on the device itself")
    return tuple(found)


def eager_reference(by_threads: Mapping[int, Measurement], accuracy: float | None, size: int | None) -> Reference:
    """The eager model at its fastest number of threads; without a latency, and with the reason, where it could not be
    timed.
    """
    good = [m.timing for m in by_threads.values() if m.timing]
    if not good:
        return Reference(
            latency_ms=None,
            accuracy=accuracy,
            size_bytes=size,
            reason=next((m.error for m in by_threads.values() if m.error), "not timed"),
        )
    best = min(good, key=lambda timing: timing.median)
    return Reference(latency_ms=best.median, accuracy=accuracy, size_bytes=size, latency=best)


def _eager_ms(proven: ReferenceAnswers) -> float:
    """The least time of a few calls of the model as trained, here and now, in milliseconds."""
    plan, one, times = proven.plan, proven.traces[0], list[float]()
    feed = plan.feed(plan.main, one.host)
    for _ in range(5):
        start = time.perf_counter()
        proven.runners[plan.main].run(feed)
        times.append((time.perf_counter() - start) * 1000)
    return min(times)


def measure_all(
    candidates: Sequence[Candidate],
    artifacts: Mapping[str, Artifact],
    reference: Artifact,
    proven: ReferenceAnswers,
    folder: Path,
    tell: Callable[[str], None],
    pace: Pace,
) -> tuple[list[Candidate], Reference]:
    """Latency, memory and size of every candidate that answers right, beside the eager reference.

    Args:
        folder: the Bundle in the making, with `variants/<id>/` and `reference/`.
        pace: how long everything may take.
    """
    with ThreadPoolExecutor(usable_cores()) as pool:  # zlib lets other threads run
        candidates = list(
            pool.map(lambda c: weighed(c, folder / "variants" / c.id) if c.id in artifacts else c, candidates)
        )
    good = [c for c in candidates if c.status == "ok"]
    with temporary() as scratch:
        work = workload(proven.plan, proven.traces[0], scratch)
        opened = [Opened(c.id, artifacts[c.id], folder / "variants" / c.id, c.profiles) for c in good]
        if pace.short:
            candidates = worth_measuring(candidates, _glance(opened, work, tell))
            going = {c.id for c in candidates if c.status == "ok"}
            opened = [one for one in opened if one.id in going]
        opened.append(Opened(EAGER, reference, folder / "reference"))
        if work.chain is None and _eager_ms(proven) < TINY_MS:
            pace = replace(pace, counts=(1,))
        found = time_all(opened, work, tell, pace=pace)
    rows = [timed(c, found[c.id]) if c.id in found else c for c in candidates]
    return rows, eager_reference(found[EAGER], proven.accuracy, size_of(folder / "reference"))
