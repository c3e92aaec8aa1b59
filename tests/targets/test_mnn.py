"""MNN beyond the conformance suite: what its converter gets wrong, and what its library says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from torchport.targets import targets
from torchport.targets.base import ExportOptions
from torchport.targets.shared.parents import Exporter
from torchport.testing import required

from .helpers import open_it, program_of

if (state := targets.get("mnn").available(build=True)).status != "ok" and not required("mnn"):
    pytest.skip(f"mnn: {state.reason}", allow_module_level=True)


class Awkward(nn.Module):
    """An LSTM, of which MNN's converter wants outputs that nobody reads, and both forms of GELU, which it rounds."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.lstm(x)[0]
        return nn.functional.gelu(3 * hidden) + nn.functional.gelu(5 * hidden, approximate="tanh")


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
def test_what_the_converter_gets_wrong_is_said_in_other_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    x = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0))
    program = program_of(Awkward(), x)
    made = Exporter().export(targets.get("mnn"), program, tmp_path, ExportOptions())
    assert made.notes[-2:] == ("GELU by its formula", "LSTM with all of its outputs")
    right = program.graphs["model"].callable()(x).detach().numpy()
    with open_it("mnn", program, tmp_path, made, threads=1) as runner:
        got = runner.run({"x": x.numpy()})["output_0"]
    assert np.abs(got - right).max() <= 1e-6 * np.abs(right).max()
    assert capfd.readouterr() == ("", "")


class Norms(nn.Module):
    """Reductions whose axes MNN would ignore, with the axis kept and without."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = nn.functional.normalize(x, dim=-1) + x.logsumexp(1, keepdim=True)
        return one * x.norm(p=1, dim=(1, 2))[:, None, None] + (40 * x).logsumexp(-1)[..., None]


def test_a_norm_is_over_the_axes_that_are_named(tmp_path: Path) -> None:
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    program = program_of(Norms(), x)
    made = Exporter().export(targets.get("mnn"), program, tmp_path, ExportOptions())
    assert "norms by sums" in made.notes
    with open_it("mnn", program, tmp_path, made) as runner:
        np.testing.assert_allclose(runner.run({"x": x.numpy()})["output_0"], Norms()(x).numpy(), rtol=1e-5)


def test_the_library_says_nothing_as_it_is_loaded() -> None:
    """It tells standard output of its CPU, by the C library, which holds that back in a process of its own."""
    code = (
        "import json\nfrom torchport.targets import targets\n"
        "print(json.dumps(targets.get('mnn').available(build=True).status))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert json.loads(done.stdout) == "ok" and done.stderr == ""
