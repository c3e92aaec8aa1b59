"""Standard output and error as they must be before anything is printed: open, and safe to print a stranger's words
on; and the end of a call that printed everything.
"""

from __future__ import annotations

import gc
import io
import os
import re
import sys
from typing import Any, TextIO, cast

_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What moves the cursor, sets colours, or turns the direction of text."""


def plain(text: str) -> str:
    """A text in which nothing commands a terminal: control characters, but for tabs and line ends, are spelled out as
    `\\x1b`.
    """
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Plain:
    """A stream for people, which spells out what would command the terminal; `raw` is the stream behind it."""

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write a text, spelled out where it must be; how many characters of it were taken."""
        self.raw.write(plain(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write texts one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


class Left(SystemExit):
    """The exit of a call of which everything is printed and written: nothing of the process is needed any more."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


SELDOM = (50_000, 10, 10)
"""Thresholds of Python's collector of cycles. Importing PyTorch and exporting a graph make millions of objects that
live on: with Python's own thresholds an eighth of a small deploy goes into looking through them."""


def prepare() -> None:
    """Give the process its three standard streams, whoever started it and however, and guard what is printed for
    people; make the collector of cycles work seldom.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: a file opened later would take its place, and what is printed would land in it
            os.open(os.devnull, os.O_RDWR)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open as long as the process
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a label, or the name of a file, need not fit the terminal
        if not isinstance(stream, Plain):
            setattr(sys, name, cast(TextIO, Plain(stream)))
    gc.set_threshold(*SELDOM)


def raw(stream: Any) -> TextIO:
    """The stream behind a guarded one, for what is known to be safe: a table whose cells are plain, a JSON document."""
    return cast(TextIO, stream.raw if isinstance(stream, Plain) else stream)
