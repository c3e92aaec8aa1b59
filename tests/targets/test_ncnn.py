"""ncnn beyond the conformance suite: layers that write in place, and operators that it lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from torchport.errors import UnsupportedByTarget
from torchport.frontend.program import GraphProgram, Program
from torchport.targets import targets
from torchport.testing import required
from torchport.types import Bound, Signature, TensorSpec

from .helpers import export, open_it

if (state := targets.get("ncnn").available(build=True)).status != "ok" and not required("ncnn"):
    pytest.skip(f"ncnn: {state.reason}", allow_module_level=True)


class InPlace(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x, -1)


class Lacking(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cumprod(x, -1)


def batched(module: nn.Module) -> Program:
    x = torch.randn(2, 10, generator=torch.Generator().manual_seed(0))
    shape = ("batch", 10)
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=shape),),
        outputs=(TensorSpec(name="output_0", dtype="float32", shape=shape),),
        dims={"batch": Bound()},
    )
    exported = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    return Program({"model": GraphProgram("model", signature, {"x": x.numpy()}, exported, module)})


def test_a_layer_that_writes_over_the_input_leaves_the_callers_array_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = batched(InPlace())
    feed = {"x": program.graphs["model"].examples["x"].copy()}
    with open_it("ncnn", program, tmp_path, export("ncnn", program, tmp_path), threads=2) as runner:
        got = runner.run(feed)["output_0"]
    assert np.allclose(got, torch.softmax(torch.tensor(feed["x"]), -1).numpy(), atol=1e-6)
    assert np.array_equal(feed["x"], program.graphs["model"].examples["x"])
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_is_lacking_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedByTarget, match=r"ncnn has no .*cumprod.*, which graph 'model' needs"):
        export("ncnn", batched(Lacking()), tmp_path)
