"""What is particular to the pt2 target; the rest is in the conformance suite."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from torchport.errors import UnsafeFile, UnsupportedByTarget
from torchport.targets import targets
from torchport.testing.toys import EXAMPLE, TOYS

from .helpers import export, open_it


def test_plain_torch_opens_the_file(tmp_path: Path) -> None:
    toy = TOYS["dict_outputs"]
    export("pt2", toy.program(), tmp_path)
    feed = toy.feed({**EXAMPLE, "batch": 5})
    answer = torch.export.load(tmp_path / "model.pt2").module()(*(torch.tensor(array) for array in feed.values()))
    assert {name: tensor.tolist() for name, tensor in answer.items()}["best"] == toy.expected(feed)["best"].tolist()


def test_a_file_with_code_in_it_is_refused(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "executed",)  # type: ignore[return-value]

    program = TOYS["mlp"].program()
    artifact = export("pt2", program, tmp_path / "out")
    altered = torch.export.load(tmp_path / "out" / "model.pt2")
    altered._example_inputs = ((Harmful(),), {})
    torch.export.save(altered, tmp_path / "out" / "model.pt2")
    with pytest.raises(UnsafeFile, match="never executed"):
        open_it("pt2", program, tmp_path / "out", artifact)
    assert not (tmp_path / "executed").exists()


def test_a_scripted_source_is_declined(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedByTarget, match=r"pt2 needs torch\.export"):
        export("pt2", TOYS["scripted"].program(), tmp_path)


def test_it_needs_torch_where_it_runs() -> None:
    assert targets.get("pt2").profiles == ()
    assert not targets.get("pt2").executes_code
