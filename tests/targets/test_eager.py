"""What is particular to the reference target; the rest is in the conformance suite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from torchport.errors import RunError
from torchport.targets import targets
from torchport.targets.eager import ModuleRunner
from torchport.testing.toys import TOYS, Toy

from .helpers import export, program_of


@pytest.mark.parametrize("toy", TOYS.values(), ids=lambda toy: toy.name)
def test_a_captured_graph_answers_from_memory(toy: Toy) -> None:
    with ModuleRunner(toy.program().graphs["model"]) as runner:
        got, wanted = runner.run(toy.feed()), toy.expected(toy.feed())
    assert list(got) == list(wanted)
    for name, right in wanted.items():
        np.testing.assert_allclose(got[name], right, atol=1e-6)


def test_the_suffix_says_what_was_captured(tmp_path: Path) -> None:
    assert export("eager", TOYS["sequence"].program(), tmp_path / "a").graphs["model"].entry == "model.pt2"
    assert export("eager", TOYS["scripted"].program(), tmp_path / "b").graphs["model"].entry == "model.pt"


def test_a_forward_that_writes_into_its_input_leaves_the_callers_array() -> None:
    class Writes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mul_(2)

    program = program_of(Writes(), torch.ones(2, 3))
    x = np.ones((2, 3), np.float32)
    x.flags.writeable = False
    with ModuleRunner(program.graphs["model"]) as runner:
        assert runner.run({"x": x})["output_0"].max() == 2
    assert x.max() == 1


def test_threads_are_torchs_own() -> None:
    before = torch.get_num_threads()
    try:
        with ModuleRunner(TOYS["mlp"].program().graphs["model"], threads=1) as runner:
            assert (runner.used.threads, torch.get_num_threads()) == (1, before)
    finally:
        torch.set_num_threads(before)


def test_reference_only_and_on_cpu(tmp_path: Path) -> None:
    target, toy = targets.get("eager"), TOYS["sequence"]
    assert target.reference
    artifact = export("eager", toy.program(), tmp_path)
    with pytest.raises(RunError, match="has no cuda"):
        target.open(artifact, tmp_path, toy.signature, device="cuda")
