"""Which layers lose channels, where a network's code counts on the width of some."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchport.compress import RecipeContext, recipes
from torchport.errors import UnsupportedByTarget
from torchport.frontend.ladder import capture_graph
from torchport.frontend.program import Program

WIDTH, INNER = 32, 64


class Stream(torch.nn.Module):
    """As an encoder's layer: a stream of one width that everything adds to, cut into heads, with room to spare inside;
    and a layer nobody reads.
    """

    def __init__(self, inner: int = INNER) -> None:
        super().__init__()
        self.first = torch.nn.Linear(8, WIDTH)
        self.query = torch.nn.Linear(WIDTH, WIDTH)
        self.up, self.down = torch.nn.Linear(WIDTH, inner), torch.nn.Linear(inner, WIDTH)
        self.unread, self.head = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [batch, 8] -> [batch, 3]."""
        x = self.first(x)
        x = x + self.query(x).view(x.shape[0], 4, 8).transpose(1, 2).reshape(x.shape[0], WIDTH)
        self.unread(x)
        x = x + self.down(torch.relu(self.up(x)))
        return self.head(x)


class Tight(torch.nn.Module):
    """Nothing but the width that the code names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = torch.nn.Linear(8, WIDTH), torch.nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [batch, 8] -> [batch, 3]."""
        return self.head(self.first(x).view(x.shape[0], WIDTH))


def pruned(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    feeds = [{"x": np.random.default_rng(i).standard_normal((1, 8)).astype(np.float32)} for i in range(16)]
    graph = capture_graph("model", module.eval(), {"x": np.concatenate([feed["x"] for feed in feeds[:2]])})
    program = Program(graphs={"model": graph})
    made = recipes.get("prune").apply(program, RecipeContext(program, {"model": feeds}), 0.5).graphs["model"]
    assert made.signature == graph.signature
    assert made.module is not None
    return made.module


def test_what_is_bound_to_a_width_stays_and_what_is_free_goes():
    pytest.importorskip("torch_pruning")
    made = pruned(Stream())
    assert made.up.out_features == made.down.in_features == INNER // 4
    assert (made.first.out_features, made.query.out_features, made.head.in_features) == (WIDTH, WIDTH, WIDTH)


def test_where_nothing_is_free_the_layer_is_named():
    pytest.importorskip("torch_pruning")
    with pytest.raises(UnsupportedByTarget, match="no layer of graph 'model' can lose channels: layer first"):
        pruned(Tight())
