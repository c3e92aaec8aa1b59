"""Timing: every artefact in its own process, all of them interleaved, raw times kept."""

from __future__ import annotations

from .fork_server import ForkServer, ahead
from .interleave import Job, Measurement, measure, summarise, thread_counts

__all__ = ["ForkServer", "Job", "Measurement", "ahead", "measure", "summarise", "thread_counts"]
