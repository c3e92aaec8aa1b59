"""Time and weigh what stands in a folder of variants: candidates with latency, memory and size filled in."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from .bench import Job, Measurement, measure, thread_counts
from .errors import MissingDependency
from .machine import usable_cores
from .types import Artifact, Candidate, Reference, Signature

if TYPE_CHECKING:
    from .verify.prove import Proven

FEED = "feed.safetensors"
EAGER = "reference"


@dataclass(frozen=True)
class Opened:
    """One artefact to time: what a bench job needs."""

    id: str
    artifact: Artifact
    folder: Path


def write_feed(folder: Path, feed: Mapping[str, np.ndarray]) -> Path:
    """The one batch-1 feed of the model graph that every job runs on."""
    from safetensors.numpy import save_file

    path = folder / FEED
    save_file({name: np.ascontiguousarray(array) for name, array in feed.items()}, str(path))
    return path


def time_all(opened: Sequence[Opened], signature: Signature, feed: Path, tell: Callable[[str], None]) -> dict[str, dict[int, Measurement]]:
    """id -> threads -> measurement, all interleaved in one run."""
    counts = thread_counts(usable_cores())
    jobs = [Job(id=one.id, target=one.artifact.target, artifact=one.artifact, folder=one.folder, signature=signature, feed=feed, threads=threads) for one in opened for threads in counts]
    found = measure(jobs, progress=tell)
    return {one.id: {threads: found[one.id, threads] for threads in counts} for one in opened}


def timed(candidate: Candidate, by_threads: Mapping[int, Measurement]) -> Candidate:
    """The candidate at its fastest number of threads."""
    good = {threads: m for threads, m in by_threads.items() if m.timing is not None}
    if not good:
        reason = next((m.error for m in by_threads.values() if m.error), "not timed")
        return msgspec.structs.replace(candidate, status="failed", reason=reason)
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
    """The candidate with its size on disk and its deflated download size, in bytes."""
    size, download = weigh(folder)
    return msgspec.structs.replace(candidate, size_bytes=size, download_bytes=download)


def weigh(folder: Path) -> tuple[int, int]:
    """Bytes of all files of a folder, as they are and deflated."""
    size = packed = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        compressor = zlib.compressobj(6)
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                size += len(chunk)
                packed += len(compressor.compress(chunk))
        packed += len(compressor.flush())
    return size, packed


def eager_reference(by_threads: Mapping[int, Measurement], accuracy: float | None, size: int | None) -> Reference:
    """The eager model at its fastest number of threads.

    Raises:
        MissingDependency: eager could not be timed at all.
    """
    good = [m.timing for m in by_threads.values() if m.timing]
    if not good:
        raise MissingDependency(f"the eager reference could not be timed: {next((m.error for m in by_threads.values()), '')}", "see `torchport doctor`")
    best = min(good, key=lambda timing: timing.median)
    return Reference(latency_ms=best.median, accuracy=accuracy, size_bytes=size, latency=best)


def measure_all(
    candidates: Sequence[Candidate],
    artifacts: Mapping[str, Artifact],
    reference: Artifact,
    proven: Proven,
    folder: Path,
    tell: Callable[[str], None],
) -> tuple[list[Candidate], Reference]:
    """Latency, memory and size of every candidate that answers right, beside the eager reference.

    Args:
        folder: the Bundle in the making, with `variants/<id>/` and `reference/`.
    """
    good = [c.id for c in candidates if c.status == "ok"]
    with tempfile.TemporaryDirectory(prefix="torchport-") as scratch:
        feed = write_feed(Path(scratch), model_feed(proven))
        opened = [Opened(name, artifacts[name], folder / "variants" / name) for name in good]
        opened.append(Opened(EAGER, reference, folder / "reference"))
        found = time_all(opened, proven.plan.graphs["model"], feed, tell)
    rows = [weighed(timed(c, found[c.id]), folder / "variants" / c.id) if c.id in found else c for c in candidates]
    return rows, eager_reference(found[EAGER], proven.accuracy, weigh(folder / "reference")[0])


def model_feed(proven: Proven) -> dict[str, np.ndarray]:
    """The model graph's input for the first item, as the reference made it."""
    step = next(step for step in proven.plan.steps if step.graph == "model")
    return {own: proven.traces[0].host[name] for own, name in step.inputs.items()}
