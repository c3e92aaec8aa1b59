"""The JSON documents of the command line: what `--json` prints, with fixed field names."""

from __future__ import annotations

from typing import Any

from .types import Accuracy, Candidate, Choice, Parity, Reference, Timing


def latency(timing: Timing | None) -> dict[str, float] | None:
    """Median and p90 in ms, with the noise between rounds; the raw times stay in the Bundle."""
    return None if timing is None else {"median": round(timing.median, 4), "p90": round(timing.p90, 4), "noise": round(timing.noise, 4)}


def accuracy(one: Accuracy | None) -> dict[str, Any] | None:
    """Value, items, interval of the paired difference, and what was measured."""
    return None if one is None else {"value": one.value, "items": one.items, "interval": list(one.interval), "metric": one.metric, "labelled": one.labelled}


def parity(one: Parity | None) -> dict[str, Any] | None:
    """The verdict with its worst figures."""
    return None if one is None else {"ok": one.ok, "max_rel": one.max_rel, "snr_db": one.snr_db, "stage": one.stage, "reason": one.reason}


def candidate(one: Candidate) -> dict[str, Any]:
    """One row of `candidates`."""
    return {
        "id": one.id,
        "target": one.target,
        "recipe": one.recipe,
        "precision": one.precision,
        "threads": one.threads,
        "by_threads": {threads: latency(timing) for threads, timing in one.by_threads.items()},
        "profiles": list(one.profiles),
        "size_bytes": one.size_bytes,
        "download_bytes": one.download_bytes,
        "memory_bytes": one.memory_bytes,
        "latency_ms": latency(one.latency_ms),
        "accuracy": accuracy(one.accuracy),
        "agreement": one.agreement,
        "parity": parity(one.parity),
        "status": one.status,
        "reason": one.reason,
        "notes": list(one.notes),
    }


def reference(one: Reference) -> dict[str, Any]:
    """The eager model's row."""
    return {"latency_ms": one.latency_ms, "accuracy": one.accuracy, "size_bytes": one.size_bytes, "measured": one.measured}


def choice(bundle: str | None, made: Choice, eager: Reference) -> dict[str, Any]:
    """The document of `deploy`, `optimize` and `bench`."""
    return {
        "bundle": bundle,
        "chosen": made.chosen,
        "chosen_for": made.chosen_for,
        "met": made.met,
        "why": made.why,
        "met_because": made.met_because,
        "front": list(made.front),
        "nearest": made.nearest,
        "reference": reference(eager),
        "candidates": [candidate(one) for one in made.candidates],
    }
