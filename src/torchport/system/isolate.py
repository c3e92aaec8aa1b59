"""Run native, crash-prone work in a child process with a time limit, its noise captured in a log file.

Converters and runtimes segfault, call abort, print hundreds of lines or never return. A forked child inherits the
captured Program without copying or pickling it; only the (small) answer comes back. Where forking is not safe (macOS)
or not there (Windows), a fresh child is started and handed everything, see `spawned`. `TORCHPORT_START` may ask for
either.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ExportError, TorchportError, UsageError
from ..figures import seconds
from .child import answered, die_with_parent, exit_name
from .disk import temporary
from .noise import redirected

R = TypeVar("R")

START = "TORCHPORT_START"
"""Environment variable: `spawn` or `fork`, how children are started."""


def call(
    function: Callable[..., R], *args: Any, log: Path | None = None, limit_s: float = 600.0, what: str = "the child"
) -> R:
    """`function(*args)` in a child process.

    Args:
        log: file that standard output and error of the child are appended to.
        limit_s: wall-clock limit in seconds.
        what: name of the work, for error messages.

    Raises:
        TorchportError: whatever the function raised; other exceptions become ExportError, as do a crash and a time-out.
    """
    if start_method() == "spawn":
        good, answer = _spawned(function, args, log, limit_s, what)
    else:
        good, answer = _forked(function, args, log, limit_s, what)
    if good:
        return answer  # type: ignore[no-any-return]
    raise answer


def start_method() -> str:
    """How children are started: `fork`, or `spawn` where forking is not safe or not there, or where `TORCHPORT_START`
    says so.

    Raises:
        UsageError: `TORCHPORT_START` is neither, or asks for a fork where there is none.
    """
    able = "fork" in multiprocessing.get_all_start_methods()
    asked = os.environ.get(START, "")
    if asked not in ("", "spawn", "fork") or (asked == "fork" and not able):
        raise UsageError(
            f"{START}={asked}: not a way to start a process here", "it takes spawn" + (" or fork" if able else "")
        )
    return asked or ("fork" if able and sys.platform != "darwin" else "spawn")


def _spawned(
    function: Callable[..., Any], args: tuple[Any, ...], log: Path | None, limit_s: float, what: str
) -> tuple[bool, Any]:
    from . import spawned

    try:
        return spawned.call(function, args, log, limit_s, what)
    except spawned.Crashed as exc:
        raise _crashed(what, exc.code, log) from None


def _crashed(what: str, code: int | None, log: Path | None) -> ExportError:
    return ExportError(
        f"{what} crashed ({exit_name(code)})", f"its last words are in {log.name}" if log else "run again with -v"
    )


def _forked(
    function: Callable[..., Any], args: tuple[Any, ...], log: Path | None, limit_s: float, what: str
) -> tuple[bool, Any]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(theirs, function, args, log), daemon=True)
    start_quietly(child)
    theirs.close()
    try:
        if not ours.poll(limit_s):
            raise ExportError(
                f"{what} did not finish in {seconds(limit_s)}", "raise the limit with --limit, or leave this target out"
            )
        good, answer = ours.recv()
    except EOFError:
        child.join()
        raise _crashed(what, child.exitcode, log) from None
    finally:
        if child.is_alive():
            child.join(0.2)
            if child.is_alive():
                child.kill()
        child.join()
        ours.close()
    return good, answer


def start_quietly(child: BaseProcess) -> None:
    """Start a forked child without what is said of threads: Python 3.12 warns of them, and so does JAX of its own.

    The child collects no cycles until it has called `gc.freeze`: what the parent made is the parent's to free. A
    destructor may wait for threads, and these do not survive a fork.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            child.start()
    finally:
        if collecting:
            gc.enable()


def _child(pipe: Any, function: Callable[..., Any], args: tuple[Any, ...], log: Path | None) -> None:
    die_with_parent()
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent may take it for an interrupt
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(
            1
        )  # OpenMP's thread pool does not survive a fork: without it nothing waits for its threads

    def work() -> Any:
        with redirected(log):
            return function(*args)

    answer = answered(work, log)
    pipe.send(answer)
    pipe.close()
    os._exit(0)


class Log:
    """Where the noise of converters and runtimes goes; `keep` leaves it for the user to read.

    Attributes:
        path: the file that is written now.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keep = False


@contextlib.contextmanager
def log_file(wanted: Path | None, kept: Path) -> Iterator[Log]:
    """A log for one command: `wanted` where the user named one, else a temporary file.

    The temporary file becomes `kept` where the block asks for it or raises, and there is something in it.
    """
    with temporary() as scratch:
        log = Log(wanted or scratch / "log.txt")
        with contextlib.suppress(OSError):
            kept.unlink(missing_ok=True)
        try:
            yield log
        except TorchportError:
            log.keep = True
            raise
        finally:
            if log.keep and wanted is None and log.path.is_file() and log.path.stat().st_size and kept.parent.is_dir():
                with contextlib.suppress(OSError):  # without it the error itself is still told
                    shutil.copyfile(log.path, kept)
