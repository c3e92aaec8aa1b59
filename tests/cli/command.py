"""One call of the command line in a child process, as a person types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ran:
    """What a call of the command line left."""

    code: int
    out: Any
    err: str


def torchport(*args: object, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300) -> Ran:
    """One call with --json."""
    done = subprocess.run([sys.executable, "-m", "torchport", *map(str, args), "--json"], cwd=cwd, capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})}, check=False)
    try:
        out = json.loads(done.stdout)
    except ValueError:
        out = done.stdout or None
    return Ran(done.returncode, out, done.stderr)
