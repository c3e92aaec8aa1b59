"""One row of build/tasks.json, and how a speed-up is measured: both sides in turns, medians."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness import in_turns

FEW = ("onnx",)
"""The target of a slice: does it hold together?"""


EXACT = {"recipes": ("fp32", "bf16", "bf16_stateless"), "budget": "agreement>=100%"}
"""Of `deploy`: as fast as it gets without another answer to a single item; where the processor has no bf16, fp32 it is.
"""


@dataclass(frozen=True)
class Row:
    """What one scenario showed.

    Attributes:
        eager, deployed: the metric of the eager model and of the deployed Bundle's best fp32 variant.
        identical: how many of `items` the Bundle answers exactly as eager does.
        speedup: eager time / deployed time over the same items, one thread each.
        targets: every target whose variant passed parity.
        notes: figures beyond the table, by name.
    """

    task: str
    model: str
    data: str
    metric: str
    eager: float
    deployed: float
    identical: int
    items: int
    speedup: float
    targets: list[str]
    notes: dict[str, float | str] = field(default_factory=dict)


def passed(outcome: Any) -> list[str]:
    """The targets with a variant that passed parity, each once."""
    return sorted({candidate.target for candidate in outcome.choice.candidates if candidate.parity})


def speedup(eager: Callable[[], object], deployed: Callable[[], object], rounds: int = 5) -> tuple[float, float, float]:
    """Eager and deployed seconds (medians of interleaved rounds, after one warm call each) and their ratio."""
    eager(), deployed()
    taken = in_turns({"eager": eager, "deployed": deployed}, rounds)
    return taken["eager"], taken["deployed"], taken["eager"] / taken["deployed"]
