"""What stands in the zoo: an architecture with random weights, what it takes, and the sizes that it is tried at."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

PACKAGES = Path(__file__).resolve().parents[2] / "build/zoo/packages"


@dataclass(frozen=True)
class Architecture:
    """One model of the zoo.

    Attributes:
        family: of its kind, for the table.
        make: builds it; called under a fixed seed.
        inputs: as given to `--input`.
        sizes: of the free axes, none of them those that deploying tries; each is held against eager PyTorch.
        train: leave it in train mode, as its author did.
    """

    family: str
    make: Callable[[], nn.Module]
    inputs: Sequence[str]
    sizes: Sequence[Mapping[str, int]]
    train: bool = False

    def built(self) -> nn.Module:
        """The module in eval mode, its normalisation layers having seen noise: statistics as they are first made would
        let a deep network's values grow until float32 says nothing of them.
        """
        torch.manual_seed(0)
        module = self.make()
        if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules()):
            _settle(module, self.inputs)
        return module.train(self.train)


def _settle(module: nn.Module, inputs: Sequence[str]) -> None:
    from torchport.frontend.inputs import made_up, parse

    momenta = {
        layer: layer.momentum for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    }
    for layer in momenta:
        layer.momentum = None  # the mean of what is seen
    specs = parse(inputs)
    with torch.no_grad():
        for seed in (11, 12):
            feed = made_up(specs, seed=seed, batch=4)
            module.train()(*(torch.tensor(array) for array in feed.values()))
    for layer, momentum in momenta.items():
        layer.momentum = momentum


def borrow() -> None:
    """Let the packages of `packages.txt` be imported.

    torchvision is built for another PyTorch than the processor's, so that its own operators are missing; no
    architecture here needs one, but it declares two that must be known.
    """
    if str(PACKAGES) in sys.path:
        return
    sys.path.append(str(PACKAGES))
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def picture(side: int, channels: int = 3) -> tuple[str, ...]:
    """The input of a network that takes pictures of one size."""
    return (f"x:float32[batch,{channels},{side},{side}]",)


def any_picture(multiple: int = 32, channels: int = 3, name: str = "x") -> tuple[str, ...]:
    """The input of a network that takes pictures of any size that is a multiple."""
    free = f"{multiple}../{multiple}"
    return (f"{name}:float32[batch,{channels},height={free},width={free}]",)


BATCHES = ({"batch": 1}, {"batch": 5})
LENGTHS = ({"batch": 1, "time": 7}, {"batch": 3, "time": 21})


def areas(multiple: int = 32) -> tuple[Mapping[str, int], ...]:
    """Sizes of pictures, in multiples."""
    return (
        {"batch": 1, "height": 3 * multiple, "width": 2 * multiple},
        {"batch": 3, "height": multiple, "width": 4 * multiple},
    )
