"""Timing: every artefact in its own process, all of them interleaved, raw times kept."""

from __future__ import annotations

from .interleave import Ahead, Job, Measurement, measure, summarise, thread_counts

__all__ = ["Ahead", "Job", "Measurement", "measure", "summarise", "thread_counts"]
