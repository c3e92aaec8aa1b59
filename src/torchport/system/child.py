"""What a child process does for its parent: it answers, and it ends when its parent ends."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ExportError, TorchportError, plain


def answered(work: Callable[[], Any], log: Path | None) -> tuple[bool, Any]:
    """(True, what the work answers) or (False, the TorchportError it ended with), in a child; its trace goes to the
    log, or to standard error.
    """
    try:
        return True, work()
    except TorchportError as exc:
        return False, exc
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException as exc:
        import traceback

        if log:
            with log.open("a", encoding="utf-8") as out:
                traceback.print_exc(file=out)
        else:
            traceback.print_exc()
        line = next((x.strip() for x in str(exc).splitlines() if x.strip()), "")
        failed = ExportError(f"{type(exc).__name__}: {plain(line)}"[:300])
        failed.failed_at = getattr(exc, "failed_at", None)
        return False, failed


def die_with_parent() -> None:
    """End this process when its parent ends, however that came about (Linux only): nobody is left to write for."""
    if sys.platform == "linux":
        import ctypes

        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def exit_name(code: int | None) -> str:
    """How a process ended: the name of the signal that ended it, or its exit code."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit {code}"
