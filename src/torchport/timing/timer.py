"""Who times: processes on this machine, or whatever is put in their place for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from . import fork_server, interleave
from .fork_server import ForkServer
from .interleave import Key, Measurement

P = ParamSpec("P")
R = TypeVar("R")

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


def _by_whoever_times(default: Callable[P, R]) -> Callable[P, R]:
    @wraps(default)
    def timed(*args: P.args, **options: P.kwargs) -> R:
        return cast("Callable[P, R]", _timers[-1])(*args, **options)

    return timed


measure = _by_whoever_times(interleave.measure)
"""As `interleave.measure`, by whoever times now."""
