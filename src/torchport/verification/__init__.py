"""Parity from raw bytes, per stage, and the task metric; what `deploy` proves and `torchport verify` proves again."""

from __future__ import annotations

from .accuracy import judge
from .check import Verdict, golden_of, plan_of, verify
from .examine import Examined, examine
from .traces import Trace, trace
from .trials import SIZES

__all__ = ["SIZES", "Examined", "Trace", "Verdict", "examine", "golden_of", "judge", "plan_of", "trace", "verify"]
