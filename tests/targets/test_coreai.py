"""What is particular to Core AI; the rest is in the conformance suite, which runs its programs here."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from torchport.errors import UnsupportedByTarget
from torchport.frontend.program import GraphProgram, Program
from torchport.targets import targets
from torchport.testing.toys import TOYS
from torchport.types import Signature, TensorSpec

from .helpers import export, open_it

pytest.importorskip("coreai_torch")


def test_a_runner_answers_inside_somebody_s_event_loop_too(tmp_path: Path) -> None:
    toy = TOYS["mlp"]
    program = toy.program()
    made = export("coreai", program, tmp_path)
    feed = toy.feed()

    async def ask() -> list[float]:
        with open_it("coreai", program, tmp_path, made) as runner:
            return [float(one) for one in runner.run(feed)["output_0"].ravel()]

    assert asyncio.run(ask()) == pytest.approx(toy.expected(feed)["output_0"].ravel(), abs=1e-6)


def test_the_folder_tells_no_date(tmp_path: Path) -> None:
    export("coreai", TOYS["mlp"].program(), tmp_path)
    assert sorted(path.name for path in (tmp_path / "model.aimodel").iterdir()) == [
        "main.hash",
        "main.mlirb",
        "metadata.json",
    ]
    told = json.loads((tmp_path / "model.aimodel/metadata.json").read_text("utf-8"))
    assert told["creationDate"] == "19800101T000000Z"


def test_an_operator_that_it_lacks_is_named(tmp_path: Path) -> None:
    class Bessel(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.i0(x)

    x = torch.randn(2, 3)
    side = tuple(TensorSpec(name=name, dtype="float32", shape=(2, 3)) for name in ("x", "output_0"))
    graph = GraphProgram("model", Signature(side[:1], side[1:]), {"x": x.numpy()}, torch.export.export(Bessel(), (x,)))
    with pytest.raises(UnsupportedByTarget, match=r"coreai has no aten\.i0\.default, which graph 'model' needs"):
        export("coreai", Program({"model": graph}), tmp_path)


def test_it_is_made_where_it_is_asked_for_and_a_stranger_s_needs_trust() -> None:
    target = targets.get("coreai")
    assert (target.automatic, target.executes_code, target.profiles) == (False, True, ("ios",))
