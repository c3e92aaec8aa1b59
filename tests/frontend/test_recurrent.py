"""Recurrent layers, loops over steps, attention and bags: what has a free length in eager has one when captured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from torchport.errors import CaptureError
from torchport.frontend.ladder import capture_graph
from torchport.frontend.program import GraphProgram, flatten_outputs


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def same(graph: GraphProgram, model: nn.Module, x: np.ndarray) -> None:
    """The captured graph answers an input of another size like the model."""
    runnable = graph.exported.module() if graph.exported is not None else graph.callable()
    got, wanted = flatten_outputs(runnable(torch.from_numpy(x))), flatten_outputs(model(torch.from_numpy(x)))
    for value, reference in zip(got.values(), wanted.values(), strict=True):
        torch.testing.assert_close(value, reference)


class Recurrent(nn.Module):
    """One recurrent layer, and the last step's state handed on."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0]


class Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(6, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(x.shape[0], 8)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return h


@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(6, 8, batch_first=True, bidirectional=True),
        nn.GRU(6, 8, batch_first=True, num_layers=2),
        nn.RNN(6, 8, batch_first=True),
    ],
)
def test_a_recurrent_layer_takes_any_number_of_steps(layer: nn.Module) -> None:
    model = Recurrent(layer).eval()
    graph = capture_graph("model", model, {"x": floats(2, 12, 6)}, dims={"x": {0: "batch", 1: "time"}})
    assert graph.signature.inputs[0].shape == ("batch", "time", 6)
    assert graph.exported is not None
    for shape in ((1, 1, 6), (3, 40, 6)):
        same(graph, model, floats(*shape))
    assert torch.ops.aten.lstm.input.py_kernels, "torch is as it was"


def test_a_loop_over_a_free_number_of_steps_is_scripted() -> None:
    model = Cells().eval()
    graph = capture_graph("model", model, {"x": floats(2, 12, 6)}, dims={"x": {0: "batch", 1: "time"}})
    assert graph.rung == "script"
    assert "fixes dimension 1 of 'x' at 12" in graph.said["strict"]
    for shape in ((1, 1, 6), (3, 20, 6)):
        same(graph, model, floats(*shape))


def test_fused_attention_is_not_captured() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1).eval()
    graph = capture_graph("model", model, {"src": floats(2, 5, 8)}, dims={"src": {0: "batch", 1: "time"}})
    assert "aten._transformer_encoder_layer_fwd.default" not in graph.operators()
    assert torch.backends.mha.get_fastpath_enabled()
    same(graph, model, floats(3, 9, 8))


def test_a_guard_against_one_item_is_dropped_where_the_graph_answers_it_right() -> None:
    model = nn.EmbeddingBag(10, 4, mode="mean").eval()
    graph = capture_graph(
        "model", model, {"input": np.ones((2, 5), np.int64)}, dims={"input": {0: "batch", 1: "length"}}
    )
    assert {name: bound.min for name, bound in graph.signature.dims.items()} == {"batch": 1, "length": 1}
    assert graph.signature.outputs[0].shape == ("batch", 4)


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, sorted(lengths.tolist(), reverse=True), batch_first=True)
        return self.rnn(packed)[1][0][0]


def test_packing_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(CaptureError, match="packed sequences are not tensors") as caught:
        capture_graph("model", Packed().eval(), {"x": floats(2, 5, 6), "lengths": np.asarray([5, 3])})
    assert caught.value.hint.startswith("do not pack")
