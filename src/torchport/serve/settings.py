"""How a server is set: limits, batching, what it allows."""

from __future__ import annotations

from dataclasses import dataclass

from ..system import machine


@dataclass(frozen=True)
class Settings:
    """What holds for every model of a server.

    Attributes:
        batch: items of one call of a graph, at most.
        instances: threads that answer requests of one model.
        queue: requests that may wait for one model, at most; others are refused at once.
        timeout_s: how long a request may wait for its turn where it says nothing of its own.
        threads: of a runtime; None is the measured best.
        most_bytes: of a request's body, as sent and as decompressed.
        most_items: raw inputs of one request.
        shared_memory: whether clients may name shared memory of this machine.
        loading: whether clients may load and unload models.
        device: as `Predictor` takes it.
        trust: opens variants that execute code.
    """

    batch: int = 8
    instances: int = 1
    queue: int = 256
    timeout_s: float = 30.0
    threads: int | None = None
    most_bytes: int = 64 << 20
    most_items: int = 64
    shared_memory: bool = False
    loading: bool = True
    device: str = "cpu"
    trust: bool = False

    @staticmethod
    def default_instances() -> int:
        """One for each two cores that this process may use, and at least one."""
        return max(1, machine.usable_cores() // 2)
