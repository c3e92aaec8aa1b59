"""One call of the command line as a person types it: in a child process, or within this one where that is all the same."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from torchport.cli import main, shared

PICTURES = ("--task", "image-classification", "--set", "resize=32", "--set", "crop=32", "--set", "labels=Namen.txt")
"""The facts of the picture network of `conftest.py`."""


@dataclass(frozen=True)
class Ran:
    """What a call of the command line left."""

    code: int
    out: Any
    err: str


# Timing is most of a small deploy, and few tests are about it.
QUICKLY = """
import functools, torchport.measure as measure
measure.measure = functools.partial(measure.measure, rounds=3, seconds=0.05)
measure.thread_counts = lambda usable: [1]
from torchport.cli import main
main()
"""


def torchport(*args: object, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300, quick: bool = False) -> Ran:
    """One call with --json, in a child process; `quick` times with one thread, hardly."""
    start = [sys.executable, *(["-c", QUICKLY] if quick else ["-m", "torchport"])]
    done = subprocess.run([*start, *map(str, args), "--json"], cwd=cwd, capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})}, check=False)
    return Ran(done.returncode, parsed(done.stdout), done.stderr)


def within(*args: object, cwd: Path) -> Ran:
    """One call with --json, in this process: saves the imports."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(cwd):
        patch.setattr(sys, "argv", ["torchport", *map(str, args), "--json"])
        patch.setattr(shared, "_printed", [])
        with pytest.raises(SystemExit) as left:
            main()
    return Ran(int(left.value.code or 0), parsed(out.getvalue()), err.getvalue())


def parsed(text: str) -> Any:
    """The JSON document, or the text, or None where nothing was printed."""
    try:
        return json.loads(text)
    except ValueError:
        return text or None
