"""One call of the command line as a person types it: in a process that is warm already, in one of its own, or within
this one where that is all the same.
"""

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

import warm
from torchport.cli import main, shared

PICTURES = (
    *("--task", "image-classification", "--set", "labels=Namen.txt"),
    *("--set", "resize=24", "--set", "crop=16", "--set", "mean=0.5", "--set", "std=0.5"),
)
"""The facts of the picture network of `conftest.py`: a picture is prepared as in the sample of its task, whose graph is
converted once a run.
"""


@dataclass(frozen=True)
class Ran:
    """What a call of the command line left."""

    code: int
    out: Any
    err: str


UNTIMED = """
from torchport.cli import main
from torchport.testing import millisecond
main(timer=millisecond)
"""
"""The command line, but every artefact takes a millisecond: timing is most of a small deploy, and few tests are about
it.
"""


def start(*, timed: bool = False, fresh: bool = False) -> list[str]:
    """What to type for the command line: as people have it if `timed`; a process of its own if `fresh`."""
    if timed:
        return [sys.executable, "-m", "torchport"]
    return [sys.executable, "-c", UNTIMED] if fresh else warm.command()


def torchport(
    *args: object,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    timed: bool = False,
    fresh: bool = False,
) -> Ran:
    """One call with --json; everything takes a millisecond unless it is `timed`, see `start`."""
    command = [*start(timed=timed, fresh=fresh), *map(str, args), "--json"]
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Ran(done.returncode, parsed(done.stdout), done.stderr)


def within(*args: object, cwd: Path) -> Ran:
    """One call with --json, in this process: saves the imports."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(cwd),
    ):
        patch.setattr(sys, "argv", ["torchport", *map(str, args), "--json"])
        patch.setattr(shared, "_printed", [])
        with pytest.raises(SystemExit) as left:
            main(ends=False)
    return Ran(int(left.value.code or 0), parsed(out.getvalue()), err.getvalue())


def parsed(text: str) -> Any:
    """The JSON document, or the text, or None where nothing was printed."""
    try:
        return json.loads(text)
    except ValueError:
        return text or None
