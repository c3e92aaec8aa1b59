"""A changed graph is captured again as what it was."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations

from torchport.compress import RecipeContext, parse
from torchport.compress.layers import tensors
from torchport.compress.pt2e import recapture
from torchport.frontend.ladder import capture_graph
from torchport.frontend.program import Program


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
        before, after = (
            graph.module(*tensors(graph, other)),
            again.need_exported("this test").module()(*tensors(again, other)),
        )
    assert {name: value.tolist() for name, value in after.items()} == {
        name: value.tolist() for name, value in before.items()
    }


@pytest.mark.parametrize("wrap", [parametrizations.spectral_norm, parametrizations.orthogonal])
def test_weights_that_are_computed_from_others_are_quantised(
    wrap: Callable[[torch.nn.Module], torch.nn.Module],
) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(wrap(torch.nn.Linear(8, 8)), torch.nn.Softplus(), torch.nn.Linear(8, 4)).eval()
    rows = np.random.default_rng(0).standard_normal((16, 8), dtype=np.float32)
    graph = capture_graph("model", model, {"": rows[:2]})
    program = Program({"model": graph})
    work = RecipeContext(program, {"model": [{"input": row[None]} for row in rows]}, seed=0)
    made = parse("int8_static").apply(program, work).graphs["model"]
    with torch.no_grad():
        torch.testing.assert_close(
            made.callable()(torch.tensor(rows[:2])), model(torch.tensor(rows[:2])), atol=0.1, rtol=0
        )


class Tail(torch.nn.Module):
    """As the step of a decoder that drops the oldest of its state: torch.export guards against a state of two, whose
    tail might be broadcast.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(16, 16)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return self.layer(state[:, 1:] + torch.zeros(1, 1, 16))


def test_what_is_quantised_takes_every_size_that_its_signature_names():
    graph = capture_graph(
        "step", Tail().eval(), {"state": np.ones((1, 5, 16), np.float32)}, dims={"state": {1: "past"}}
    )
    program = Program({"step": graph}, weighted=("step",))
    made = parse("int8_weights").apply(program, RecipeContext(program)).graphs["step"]
    assert made.signature.dims["past"].min == 1
    for size in (1, 2, 3, 9):
        state = torch.linspace(-1, 1, size * 16).reshape(1, size, 16)
        with torch.no_grad():
            torch.testing.assert_close(made.callable()(state), graph.callable()(state), atol=0.02, rtol=0)
