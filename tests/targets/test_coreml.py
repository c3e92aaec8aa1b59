"""What is particular to Core ML: nothing of it runs here, so its programs are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from torchport.errors import RunError, UnsupportedByTarget
from torchport.frontend.program import GraphProgram, Program
from torchport.system import machine
from torchport.system.noise import quiet, redirected
from torchport.targets import targets
from torchport.targets.base import ExportOptions
from torchport.testing.toys import TOYS
from torchport.types import Bound, Signature, TensorSpec

from .helpers import export

pytest.importorskip("coremltools")
# the converter leaves a temporary folder to the garbage collector when it fails
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

HERE = machine.system() not in targets.get("coreml").systems


def read(folder: Path) -> Any:
    """The spec of an exported package, as Apple's own reader gives it."""
    with quiet(), redirected(None):
        import coremltools as ct

        return ct.models.MLModel(str(folder / "model.mlpackage"), skip_model_load=True).get_spec()


def operators(spec: Any) -> list[str]:
    function = spec.mlProgram.functions["main"]
    return [one.type for one in function.block_specializations[function.opset].operations if one.type != "const"]


def test_a_program_has_the_operators_tensors_and_sizes_of_the_model(tmp_path: Path) -> None:
    made = export("coreml", TOYS["dict_outputs"].program(), tmp_path)
    spec = read(tmp_path)
    assert operators(spec) == ["linear", "reduce_argmax", "reduce_max", "greater", "cast"]
    assert [one.name for one in spec.description.input] == ["x"]
    sizes = spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    assert [(one.lowerBound, one.upperBound) for one in sizes] == [(1, 8), (6, 6)]
    assert [one.name for one in spec.description.output] == ["logits", "best", "sure"]
    io = made.graphs["model"].io
    assert {name: (one.name, one.dtype) for name, one in io.items()} == {
        "x": ("x", "float32"),
        "logits": ("logits", "float32"),
        "best": ("best", "int32"),
        "sure": ("sure", "float32"),
    }
    assert made.notes == ("graph model in Core ML: cast, greater, linear, reduce_argmax, reduce_max",)


def test_a_package_lists_its_parts_and_tells_no_date(tmp_path: Path) -> None:
    export("coreml", TOYS["mlp"].program(), tmp_path)
    told = json.loads((tmp_path / "model.mlpackage/Manifest.json").read_text("utf-8"))
    for item in told["itemInfoEntries"].values():
        assert (tmp_path / "model.mlpackage/Data" / item["path"]).exists()
    assert told["rootModelIdentifier"] in told["itemInfoEntries"]
    assert not [key for key in read(tmp_path).description.metadata.userDefined if "date" in key]


def test_half_precision_is_what_it_computes_in(tmp_path: Path) -> None:
    target = targets.get("coreml")
    made = target.export(TOYS["mlp"].program(), tmp_path, ExportOptions("fp16", "fp16"))
    assert operators(read(tmp_path)) == ["cast", "linear", "relu", "linear"]
    assert {name: one.dtype for name, one in made.graphs["model"].io.items()} == {
        "input": "float32",
        "output_0": "float16",
    }


class Half(nn.Module):
    """An input without an end, and one that nothing is made of."""

    def forward(self, x: torch.Tensor, unused: torch.Tensor) -> torch.Tensor:
        return x.mean(-1)


def test_a_size_without_end_gets_one_and_an_unused_input_stays(tmp_path: Path) -> None:
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    x, y = torch.randn(2, 7), torch.randn(2, 3)
    one, two = (
        TensorSpec(name=name, dtype="float32", shape=shape)
        for name, shape in (("x", ("batch", "length")), ("unused", ("batch", 3)))
    )
    out = (TensorSpec(name="output_0", dtype="float32", shape=("batch",)),)
    dims = {"batch": Bound(), "length": Bound()}
    exported = torch.export.export(Half(), (x, y), dynamic_shapes=({0: batch, 1: length}, {0: batch}))
    signature = Signature(inputs=(one, two), outputs=out, dims=dims)
    graph = GraphProgram("model", signature, {"x": x.numpy(), "unused": y.numpy()}, exported)
    export("coreml", Program({"model": graph}), tmp_path)
    told = read(tmp_path).description
    assert [one.name for one in told.input] == ["x", "unused"]
    sizes = told.input[0].type.multiArrayType.shapeRange.sizeRanges
    assert [(one.lowerBound, one.upperBound) for one in sizes] == [(1, 8), (1, 1024)]


def test_an_operator_that_it_lacks_is_named(tmp_path: Path) -> None:
    class Bessel(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.i0(x)

    x = torch.randn(2, 3)
    side = tuple(TensorSpec(name=name, dtype="float32", shape=(2, 3)) for name in ("x", "output_0"))
    graph = GraphProgram("model", Signature(side[:1], side[1:]), {"x": x.numpy()}, torch.export.export(Bessel(), (x,)))
    with pytest.raises(UnsupportedByTarget, match="i0"):
        export("coreml", Program({"model": graph}), tmp_path)


@pytest.mark.skipif(not HERE, reason="it runs here")
def test_it_is_made_here_and_runs_elsewhere(tmp_path: Path) -> None:
    toy, target = TOYS["mlp"], targets.get("coreml")
    made = export("coreml", toy.program(), tmp_path)
    assert target.fits(made) == f"it runs on darwin and ios, this is {machine.system()}"
    with pytest.raises(RunError, match="runs on darwin and ios"):
        target.open(made, tmp_path, toy.signature)
    assert target.available(build=True).status == "ok"
