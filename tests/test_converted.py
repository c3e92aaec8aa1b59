"""Graphs around a model are converted once; what is kept of them is what would be made anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from targets.helpers import program_of
from torchport.frontend.program import Program
from torchport.system import cache
from torchport.targets.base import ExportOptions
from torchport.targets.pt2 import Pt2
from torchport.types import Artifact, GraphFile, TensorIO


class Scores(nn.Module):
    """What a task puts behind a model."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.scale * x, 1)


class Shifted(Scores):
    """Other operators, and the same tensors."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.scale * x)


class Counting(Pt2):
    """Tells which graphs it really converts."""

    def _export(
        self, graph, entry: Path, options: ExportOptions, parent: GraphFile | None, note: Callable[[str], None]
    ) -> dict[str, TensorIO]:
        DONE.append(graph.name)
        note("converted")
        return super()._export(graph, entry, options, parent, note)


DONE: list[str] = []


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCHPORT_CACHE", str(tmp_path / "cache"))
    DONE.clear()
    return tmp_path / "cache/converted"


def program(after: nn.Module, rows: int = 2) -> Program:
    model = program_of(nn.Linear(3, 3), torch.randn(2, 3))
    scores = program_of(after, torch.randn(rows, 3)).graphs["model"]
    return replace(model, graphs={**model.graphs, "scores": replace(scores, name="scores")})


def export(made: Program, folder: Path, **options: int) -> Artifact:
    folder.mkdir()
    return Counting().export(made, folder, ExportOptions(**options))


def test_it_is_converted_once_and_the_model_every_time(tmp_path: Path) -> None:
    first, second = export(program(Scores(2.0)), tmp_path / "first"), export(program(Scores(2.0)), tmp_path / "second")
    assert DONE == ["model", "scores", "model"]
    assert first.graphs["scores"] == second.graphs["scores"]
    assert (tmp_path / "first/scores.pt2").read_bytes() == (tmp_path / "second/scores.pt2").read_bytes()
    assert "converted" in second.notes


@pytest.mark.parametrize(
    ("other", "options"),
    [
        (program(Scores(3.0)), {}),
        (program(Shifted(2.0)), {}),
        (program(Scores(2.0), rows=3), {}),
        (program(Scores(2.0)), {"max_batch": 4}),
        (program(Scores(2.0)), {"strength": 32}),
    ],
    ids=["tensors", "operators", "shapes", "bounds", "strength"],
)
def test_another_graph_is_converted_for_itself(tmp_path: Path, other: Program, options: dict[str, int]) -> None:
    export(program(Scores(2.0)), tmp_path / "first")
    export(other, tmp_path / "second", **options)
    assert DONE == ["model", "scores"] * 2


@pytest.mark.parametrize(
    "change", [lambda file: file.write_bytes(file.read_bytes()[:-1]), lambda file: file.unlink()], ids=["cut", "gone"]
)
@pytest.mark.parametrize("name", ["scores.pt2", "converted.json"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, own: Path, name: str, change: Callable[[Path], object]) -> None:
    export(program(Scores(2.0)), tmp_path / "first")
    change(next(own.glob("*")) / name)
    for again in ("second", "third"):
        export(program(Scores(2.0)), tmp_path / again)
        assert (tmp_path / "first/scores.pt2").read_bytes() == (tmp_path / again / "scores.pt2").read_bytes()
    assert DONE == ["model", "scores"] * 2 + ["model"]
    assert len(list(own.iterdir())) == 1


def test_nothing_is_kept_where_caching_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHPORT_CACHE", "off")
    export(program(Scores(2.0)), tmp_path / "first")
    export(program(Scores(2.0)), tmp_path / "second")
    assert DONE == ["model", "scores"] * 2


def test_a_change_of_the_code_that_converts_converts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(program(Scores(2.0)), tmp_path / "first")
    read, changed = cache.digest, {"decompositions.py"}
    monkeypatch.setattr(cache, "digest", lambda path: "changed" if path.name in changed else read(path))
    export(program(Scores(2.0)), tmp_path / "second")
    assert DONE == ["model", "scores"] * 2
