"""Data without an axis that counts items: a file is one item, a graph of nodes and edges for example."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

from torchport import api
from torchport.tasks import tasks


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
    assert len(tasks.get("tensor").items(tmp_path, {})) == 1
    fixed = api.capture(Graph().eval(), data=tmp_path).program.graphs["model"].signature
    assert [spec.shape for spec in fixed.inputs] == [(5, 4), (2, 9)]
    free = (
        api.capture(Graph().eval(), data=tmp_path, inputs=["nodes:float32[n,4]", "edges:int64[2,e]"])
        .program.graphs["model"]
        .signature
    )
    assert [spec.shape for spec in free.inputs] == [("n", 4), (2, "e")]
