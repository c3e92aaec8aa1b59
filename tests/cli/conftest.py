"""A user's folder with a small network and data, and a Bundle made from it once."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Ran, torchport

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
