"""What training loops leave, made here: a small network, its state dicts, and what stands beside them in a
checkpoint.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchport.frontend import open_source

State = dict[str, torch.Tensor]


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(10, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU())
        self.head = torch.nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


class Config(dict):  # as omegaconf, easydict and the like: a dict class of their own, with attributes
    pass


def trained() -> State:
    """A state dict that no fresh model has."""
    net = Net()
    net(torch.randn(20, 10) * 3 + 1)
    return {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in net.state_dict().items()}


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def zeros(state: State) -> State:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


def optimizer() -> dict[str, Any]:
    net = Net()
    steps = torch.optim.Adam(net.parameters())
    net(torch.randn(4, 10)).sum().backward()
    steps.step()
    return steps.state_dict()


def averaged(state: State) -> dict[str, Any]:
    net = Net()
    net.load_state_dict(state)
    average = torch.optim.swa_utils.AveragedModel(net)
    average.update_parameters(net)
    return average.state_dict()


def lightning(state: State, **more: Any) -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": 90,
        "pytorch-lightning_version": "2.5.1",
        "state_dict": state,
        "loops": {},
        "optimizer_states": [optimizer()],
        "lr_schedulers": [],
        **more,
    }


HYPER = {
    "args": argparse.Namespace(lr=1e-3, out=pathlib.PosixPath("/tmp/x")),
    "config": Config(width=16),
    "make": functools.partial(torch.optim.Adam, lr=1e-3),
    "best": np.float64(0.5),
}


def opened(path: Path | str, source: Any = Net, **options: Any) -> Any:
    return open_source(source(), weights=Path(path), **options)


def holds(source: Any, state: State) -> None:
    found = source.module.state_dict()
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert name.endswith("tracked") or torch.allclose(found[name].double(), tensor.double(), rtol=1e-2), name
