"""A changed graph is captured again as what it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchport.capture.ladder import capture_graph
from torchport.compress.pt2e import recapture
from torchport.compress.train import tensors


class Anything(torch.nn.Module):
    """As the step of a decoder: its arguments have no names of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, *tensors: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": self.layer(tensors[0]) + tensors[1], "state": tensors[1] + 1}


class Named(Anything):
    """The same with names."""

    def forward(self, token: torch.Tensor, state: torch.Tensor) -> dict[str, torch.Tensor]:
        return super().forward(token, state)


@pytest.mark.parametrize("module", [Anything, Named])
def test_the_signature_stays_whatever_forward_calls_its_arguments(module):
    feed = {"token": np.ones((2, 4), np.float32), "state": np.full((2, 4), 3, np.float32)}
    graph = capture_graph("step", module().eval(), feed)
    again = recapture(graph, graph.need_exported("this test").module())
    assert again.signature == graph.signature
    other = {"token": np.full((3, 4), 2, np.float32), "state": np.arange(12, dtype=np.float32).reshape(3, 4)}
    with torch.no_grad():
        before, after = graph.module(*tensors(graph, other)), again.need_exported("this test").module()(*tensors(again, other))
    assert {name: value.tolist() for name, value in after.items()} == {name: value.tolist() for name, value in before.items()}
