"""What libraries say to their own developers is held back: what matters comes as an exception."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

Message = tuple[str, type[Warning]]
"""The beginning of a warning, as a pattern, and its class."""

LEAF_SPEC: Message = (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
"""torch.export's own words, of its own code."""


@contextlib.contextmanager
def quiet(
    *messages: Message, loggers: Sequence[str] = (), below: int | None = None, printed: bool = False
) -> Iterator[None]:
    """Hold warnings back, and more where it is asked for.

    Args:
        messages: the warnings to hold back; all of them where none is named.
        loggers: names of loggers of which only critical records are let through.
        below: the level of logging up to which every logger is silent.
        printed: what Python code prints is dropped as well.
    """
    root, handler, disabled = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in loggers}
    try:
        if below is not None:
            root.addHandler(handler)  # `logging.warning` would otherwise add a handler of its own, for good
            logging.disable(below)
        for logger in levels:
            logger.setLevel(logging.CRITICAL)
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            for message, kind in messages or ((".*", Warning),):
                warnings.filterwarnings("ignore", message=message, category=kind)
            if printed:
                stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        if below is not None:
            logging.disable(disabled)
            root.removeHandler(handler)


@contextlib.contextmanager
def redirected(log: Path | None) -> Iterator[None]:
    """Send what native code writes to file descriptors 1 and 2 into a file (or nowhere)."""
    _flush()
    kept = os.dup(1), os.dup(2)
    sink = os.open(log or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        yield
    finally:
        _flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for fd in (*kept, sink):
            os.close(fd)


def _flush() -> None:
    """Write out what Python and the C library hold back: the latter would else come out after its file was changed."""
    import ctypes  # most calls of the command line never get here

    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)
