"""The command line as a person types it: child processes, their exit codes, standard output and error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NET = '''
import torch

class Net(torch.nn.Module):
    """The two-layer network of the tutorials."""

    def __init__(self, classes: int = 2):
        super().__init__()
        torch.manual_seed(3)
        self.fc1, self.fc2 = torch.nn.Linear(10, 5), torch.nn.Linear(5, classes)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


class Nan(Net):
    def forward(self, x):
        return super().forward(x) / 0.0 * 0.0


class Branch(Net):
    def forward(self, x):
        if float(x.sum()) > 0:
            return self.fc1(x)
        return open(str(int(x.sum())))


def broken():
    return torch.nn.Linear(10, "five")
'''


@dataclass(frozen=True)
class Ran:
    """What a call of the command line left."""

    code: int
    out: Any
    err: str


def torchport(*args: object, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300) -> Ran:
    """One call with --json."""
    done = subprocess.run(
        [sys.executable, "-m", "torchport", *map(str, args), "--json"], cwd=cwd, capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})}, check=False
    )
    try:
        out = json.loads(done.stdout)
    except ValueError:
        out = done.stdout or None
    return Ran(done.returncode, out, done.stderr)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `net.py` and `x.safetensors` (8 rows of 10)."""
    import numpy as np
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("user")
    (folder / "net.py").write_text(NET)
    save_file({"x": np.random.default_rng(0).standard_normal((8, 10)).astype(np.float32)}, str(folder / "x.safetensors"))
    return folder


@pytest.fixture(scope="session")
def deployed(place: Path) -> Ran:
    """A Bundle `net.tport` in `place`, made once."""
    return torchport("deploy", "net.py:Net", "--task", "tensor", "--data", "x.safetensors", "--targets", "onnx,openvino,torchscript", "--keep", "all", "-o", "net.tport", cwd=place)
