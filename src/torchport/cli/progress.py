"""What a long command is doing, on standard error: what each stage took when it ends, and a sign of life while it
lasts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from typing import TextIO

from .layout import clean, wide

BEAT_S = 10.0
"""Seconds after which a stage that says nothing gives a sign of life where nobody watches a live line."""


class Progress:
    """Stages and their rows as they come: a live line on a terminal, a line now and then elsewhere.

    It writes to a copy of standard error, which stays the user's while the noise of converters is sent elsewhere.
    """

    def __init__(self, out: TextIO | None = None, beat_s: float = BEAT_S) -> None:
        self._out = out or _copy_of_stderr()
        self._live = self._out.isatty()
        self._beat_s = beat_s
        self._stage = self._row = ""
        self._rows = 0
        self._start = self._stage_start = self._row_start = self._said = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._beat = threading.Thread(target=self._keep_alive, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._beat.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        self._beat.join()
        self._end(" (not finished)" if kind else "")
        if self._stage and not kind:
            self._print(time.monotonic() - self._start, "in all")
        with contextlib.suppress(OSError):
            self._out.close()

    def tell(self, stage: str, row: str) -> None:
        """Say what is being done now: a stage, and the row (or item, or step) of it."""
        with self._lock:
            now = time.monotonic()
            if stage != self._stage:
                self._end()
                self._stage, self._stage_start, self._rows = stage, now, 0
            if row != self._row or not self._rows:
                self._row, self._row_start, self._rows = row, now, self._rows + 1
            if self._live:
                self._draw()

    def _keep_alive(self) -> None:
        while not self._over.wait(min(1.0, self._beat_s)):
            with self._lock:
                if self._live:
                    self._draw()
                elif self._stage and time.monotonic() - self._said >= self._beat_s:
                    self._print(time.monotonic() - self._start, f"{self._now()} ...")

    def _now(self) -> str:
        return clean(f"{self._stage}: {self._row}, {time.monotonic() - self._row_start:.0f} s")

    def _draw(self) -> None:
        room = shutil.get_terminal_size().columns - 1
        text = self._now() if self._stage else "starting"
        while wide(text) > room:
            text = text[:-1]
        self._write(f"\r\x1b[K{text}")

    def _end(self, more: str = "") -> None:
        """The line of a stage that is over: how long it took; with its row where it had one alone."""
        if self._live:
            self._write("\r\x1b[K")
        if self._stage:
            row = f": {clean(self._row)}" if self._rows == 1 else ""
            self._print(time.monotonic() - self._stage_start, f"{self._stage}{row}{more}")

    def _print(self, seconds: float, words: str) -> None:
        self._said = time.monotonic()
        self._write(f"{seconds:8.1f} s  {words}\n")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody may be listening: the work goes on
            self._out.write(text)
            self._out.flush()


def _copy_of_stderr() -> TextIO:
    try:
        number = os.dup(2)
    except OSError:  # closed
        number = os.open(os.devnull, os.O_WRONLY)
    return os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace")
