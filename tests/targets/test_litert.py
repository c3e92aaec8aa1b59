"""LiteRT beyond the conformance suite: what it says of an operator that it lacks, and what it takes of ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from torchport.errors import BadInput, UnsupportedByTarget
from torchport.targets import targets
from torchport.testing import required

from .helpers import export, open_it, program_of

if (state := targets.get("litert").available(build=True)).status != "ok" and not required("litert"):
    pytest.skip(f"litert: {state.reason}", allow_module_level=True)


class Counted(nn.Module):
    """How often the first id occurs, and the logarithm of a factorial where that is asked for."""

    def __init__(self, *, lgamma: bool) -> None:
        super().__init__()
        self.lgamma = lgamma

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found = (ids == ids[:, :1]).sum(1).float()
        return torch.lgamma(found) if self.lgamma else found


IDS = torch.tensor([[3, 5, 3, 3, 7]])


def test_an_operator_that_is_lacking_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedByTarget, match=r"litert has no aten\.lgamma\.default, which graph 'model' needs"):
        export("litert", program_of(Counted(lgamma=True), IDS, names=("ids",)), tmp_path)


def test_ids_are_narrowed_only_where_they_fit_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = program_of(Counted(lgamma=False), IDS, names=("ids",))
    made = export("litert", program, tmp_path)
    assert made.graphs["model"].io["ids"].dtype == "int32"
    with open_it("litert", program, tmp_path, made) as runner:
        assert runner.run({"ids": IDS.numpy()})["output_0"].tolist() == [3.0]
        with pytest.raises(BadInput, match="this artefact takes int32"):
            runner.run({"ids": IDS.numpy() + 2**40})
        assert runner.run({"ids": np.array([[9, 9, 1, 2, 9]])})["output_0"].tolist() == [3.0]
    assert capfd.readouterr() == ("", "")
