"""Timing: every artefact in its own process, all of them interleaved, raw times kept."""

from __future__ import annotations

from .fork_server import ForkServer
from .interleave import Job, Measurement, summarise, thread_counts
from .timer import Timer, ahead, measure, timed_by

__all__ = ["ForkServer", "Job", "Measurement", "Timer", "ahead", "measure", "summarise", "thread_counts", "timed_by"]
