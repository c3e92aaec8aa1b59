"""Who times: processes on this machine, or whatever is put in their place for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from . import fork_server, interleave
from .fork_server import ForkServer
from .interleave import LIMIT_S, Job, Key, Measurement

Timer = Callable[..., dict[Key, Measurement]]
"""What times jobs as `interleave.measure` does: it is called with the jobs, and by keyword with the same options."""

_timers: list[Timer] = [interleave.measure]


@contextmanager
def timed_by(timer: Timer) -> Iterator[None]:
    """Within the block `timer` answers, in every thread, in place of the processes: for tests, most of which are not
    about timing, and for interactive use.
    """
    _timers.append(timer)
    try:
        yield
    finally:
        _timers.pop()


def ahead(target: str) -> AbstractContextManager[ForkServer | None]:
    """As `fork_server.ahead`; None where something else times."""
    return fork_server.ahead(target) if _timers[-1] is interleave.measure else nullcontext()


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
    """As `interleave.measure`, by whoever times now."""
    return _timers[-1](
        jobs,
        rounds=rounds,
        seconds=seconds,
        limit_s=limit_s,
        most_s=most_s,
        progress=progress,
        log=log,
        ahead=ahead,
    )
