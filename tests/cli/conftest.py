"""A user's folder with a small network and data, and a Bundle made from it once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from cached import alone
from command import PICTURES, Ran, torchport

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
    save_file(
        {"x": np.random.default_rng(0).standard_normal((8, 10)).astype(np.float32)}, str(folder / "x.safetensors")
    )
    return folder


def once_a_run(base: Path, bundle: Path, make: Callable[[], Ran]) -> Ran:
    """What a deploy left, which the first worker that asks for it makes; the others copy the Bundle."""
    kept = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "deployed" / bundle.name
    kept.parent.mkdir(exist_ok=True)
    said = kept.with_suffix(".json")
    with alone(kept.with_suffix(".lock")):
        if said.exists():
            shutil.copytree(kept, bundle)
            return Ran(**json.loads(said.read_text("utf-8")))
        ran = make()
        if ran.code == 0:
            shutil.copytree(bundle, kept)
            said.write_text(json.dumps(asdict(ran)), "utf-8")
        return ran


@pytest.fixture(scope="session")
def deployed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A Bundle `net.tport` in `place`, made once."""
    words = "deploy net.py:Net --task tensor --data x.safetensors --targets onnx,openvino,torchscript --keep all"
    return once_a_run(
        tmp_path_factory.getbasetemp(),
        place / "net.tport",
        lambda: torchport(*words.split(), "-o", "net.tport", cwd=place, timed=True),
    )


EYES = '''
import torch

class Eyes(torch.nn.Module):
    """Three classes of small pictures."""

    def __init__(self, shift: float = 0.0):
        super().__init__()
        torch.manual_seed(5)
        self.see, self.tell, self.shift = torch.nn.Conv2d(3, 4, 5, stride=4), torch.nn.Linear(4, 3), shift

    def forward(self, x):
        return self.tell(torch.relu(self.see(x)).mean((2, 3)) + self.shift)
'''


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose every path has spaces and other letters: `Augen é.py`, `Namen.txt`, and `Fotos 猫` with 5 pictures
    and 2 files that are none.
    """
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("user") / "mes photos, 猫 & co"
    photos = folder / "Fotos 猫"
    photos.mkdir(parents=True)
    (folder / "Augen é.py").write_text(EYES)
    (folder / "Namen.txt").write_text("cat\nçiçek 猫\ndog\n", encoding="utf-8")
    dice = np.random.default_rng(1)
    for i in range(5):
        Image.fromarray(dice.integers(0, 256, (41 + 6 * i, 61, 3), np.uint8)).save(photos / f"Bild é{i}_{i % 3}.png")
    whole = (photos / "Bild é0_0.png").read_bytes()
    (photos / "Abgeschnitten_0.png").write_bytes(whole[: len(whole) // 2])
    (photos / "Text_1.jpg").write_text("not a picture")
    return folder


@pytest.fixture(scope="session")
def pictured(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A Bundle `Augen é.tport` in `gallery`, made once."""
    words = (
        *("deploy", "Augen é.py:Eyes", *PICTURES, "--data", "Fotos 猫"),
        *("--targets", "onnx,openvino,torchscript", "--keep", "all", "-o", "Augen é.tport"),
    )
    return once_a_run(tmp_path_factory.getbasetemp(), gallery / "Augen é.tport", lambda: torchport(*words, cwd=gallery))
