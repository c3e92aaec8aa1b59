"""Data without an axis that counts items: a file is one item, a graph of nodes and edges for example."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from torchport import api
from torchport.errors import BadInput
from torchport.tasks import tasks
from torchport.tasks.facts import record
from torchport.tasks.tensor import TensorFacts


class Graph(nn.Module):
    """One round of messages along the edges, then the mean over the nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        sent = torch.zeros_like(nodes).index_add(0, edges[1], self.fc(nodes)[edges[0]])
        return (nodes + sent).mean(0)


def written(path: Path, count: int, links: int) -> Path:
    rng = np.random.default_rng(count)
    save_file(
        {"nodes": rng.standard_normal((count, 4)).astype(np.float32), "edges": rng.integers(0, count, (2, links))}, path
    )
    return path


def test_a_folder_of_graphs_is_captured_with_free_nodes_and_edges(tmp_path: Path) -> None:
    for i, (count, links) in enumerate(((5, 9), (2, 3), (7, 12))):
        written(tmp_path / f"{i}.safetensors", count, links)
    assembled = api.capture(Graph().eval(), data=tmp_path)
    signature = assembled.program.graphs["model"].signature
    assert [(spec.name, spec.shape) for spec in signature.inputs] == [
        ("nodes", ("nodes_0", 4)),
        ("edges", (2, "edges_1")),
    ]
    assert [item.name for item in assembled.items] == ["0.safetensors", "1.safetensors", "2.safetensors"]
    assert "batch" not in signature.dims


def test_one_graph_alone_is_of_fixed_sizes_unless_they_are_named(tmp_path: Path) -> None:
    written(tmp_path / "graph.safetensors", 5, 9)
    assert len(tasks.get("tensor").items(tmp_path, TensorFacts())) == 1
    fixed = api.capture(Graph().eval(), data=tmp_path).program.graphs["model"].signature
    assert [spec.shape for spec in fixed.inputs] == [(5, 4), (2, 9)]
    free = (
        api.capture(Graph().eval(), data=tmp_path, inputs=["nodes:float32[n,4]", "edges:int64[2,e]"])
        .program.graphs["model"]
        .signature
    )
    assert [spec.shape for spec in free.inputs] == [("n", 4), (2, "e")]


class Points(nn.Module):
    """A set of points, whose order says nothing, to one vector."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.fc(points)).sum(0)


def sets(folder: Path) -> Path:
    for count in (5, 2, 7):
        points = np.random.default_rng(count).standard_normal((count, 4)).astype(np.float32)
        save_file({"points": points}, folder / f"{count}.safetensors")
    return folder


def test_a_folder_of_sets_is_an_item_a_file_where_the_first_axis_is_named(tmp_path: Path) -> None:
    assembled = api.capture(Points().eval(), data=sets(tmp_path), inputs=["points:float32[n,4]"])
    signature = assembled.program.graphs["model"].signature
    assert [spec.shape for spec in (*signature.inputs, *signature.outputs)] == [("n", 4), (4,)]
    assert [item.name for item in assembled.items] == ["2.safetensors", "5.safetensors", "7.safetensors"]
    assert assembled.facts.whole is True and assembled.warnings == ()
    again = tasks.get("tensor").items(tmp_path, tasks.get("tensor").recorded(record(assembled.facts)))
    assert [item.name for item in again] == [item.name for item in assembled.items], "diff and verify read them alike"


def test_rows_that_the_model_has_one_answer_for_are_warned_of(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="depends on the other items"):
        assembled = api.capture(Points().eval(), data=sets(tmp_path))
    assert len(assembled.items) == 14
    assert any("file is one item, such as a set of points" in text for text in assembled.warnings)


def test_one_file_of_a_graph_is_an_item_where_its_axes_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "graph.safetensors", 5, 9)
    with pytest.raises(BadInput, match="has its axes named by --input"):
        api.capture(Graph().eval(), data=path)
    assembled = api.capture(Graph().eval(), data=path, inputs=["nodes:float32[n,4]", "edges:int64[2,e]"])
    assert [item.name for item in assembled.items] == ["graph.safetensors"]


def test_one_file_of_rows_stays_rows_whatever_their_axis_is_called(tmp_path: Path) -> None:
    save_file({"input": np.zeros((6, 4), np.float32)}, tmp_path / "x.safetensors")
    assembled = api.capture(nn.Linear(4, 2).eval(), data=tmp_path / "x.safetensors", inputs=["input:float32[n,4]"])
    assert len(assembled.items) == 6
