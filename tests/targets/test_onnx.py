"""What is particular to the onnx target; the rest is in the conformance suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from torchport.errors import RunError, UnsupportedByTarget
from torchport.system import cache
from torchport.targets import onnx as target
from torchport.targets.shared import onnx_registry
from torchport.testing.toys import TOYS

from .helpers import export, open_it, program_of


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCHPORT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "onnxruntime"


class Awkward(nn.Module):
    """Its output names are those of its operators, it hands one tensor out twice, and its input and a constant as they
    are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.register_buffer("table", torch.arange(3.0))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        relu = self.first(x)
        linear = torch.relu(self.second(relu))
        return {"relu": relu, "linear": linear, "same": linear, "given": x, "table": self.table}


def test_any_output_names_and_aliases_survive(tmp_path: Path) -> None:
    module, x = Awkward(), torch.randn(2, 3)
    program = program_of(module, x)
    artifact = export("onnx", program, tmp_path)
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"), full_check=True)
    with open_it("onnx", program, tmp_path, artifact) as runner:
        got = runner.run({"x": x.numpy()})
    for name, wanted in module(x).items():
        np.testing.assert_allclose(got[name], wanted.numpy(), atol=1e-6)


def test_the_file_names_tensors_and_dimensions_as_the_signature_does(tmp_path: Path) -> None:
    toy = TOYS["sequence"]
    export("onnx", toy.program(), tmp_path)
    graph = onnx.load(tmp_path / "model.onnx").graph
    for values, specs in ((graph.input, toy.signature.inputs), (graph.output, toy.signature.outputs)):
        dims = [tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in values]
        assert [value.name for value in values] == [spec.name for spec in specs]
        assert dims == [spec.shape for spec in specs]


@pytest.mark.long  # `tests/cli/test_determinism.py` has a network in every target
def test_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, warnings; warnings.simplefilter('ignore')\n"
        "from torchport.testing.toys import TOYS\n"
        "from torchport.targets import targets\n"
        "from torchport.targets.base import ExportOptions\n"
        "folder = pathlib.Path(sys.argv[1]); folder.mkdir()\n"
        "TOYS['conv'].program()\n" * 1 + "for target in ('onnx', 'openvino'):\n"
        "    (folder / target).mkdir(); targets.get(target).export(TOYS['sequence'].program(), folder / target, "
        "ExportOptions())\n"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / seed)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
        )
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert len(files) == 3
    assert [
        file for file in files if (tmp_path / "1" / file).read_bytes() != (tmp_path / "2" / file).read_bytes()
    ] == []


def test_the_scripted_classic_goes_through_the_torchscript_exporter(tmp_path: Path) -> None:
    module, x = torch.jit.script(nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 2)).eval()), torch.randn(3, 10)
    program = program_of(module, x, names=("input",))
    artifact = export("onnx", program, tmp_path)
    assert "TorchScript" in artifact.notes[0]
    with open_it("onnx", program, tmp_path, artifact) as runner:
        np.testing.assert_allclose(runner.run({"input": x.numpy()})["output_0"], module(x).detach().numpy(), atol=1e-6)


def test_an_operator_without_onnx_counterpart_is_named(tmp_path: Path) -> None:
    class Bessel(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(UnsupportedByTarget, match="bessel_j0"):
        export("onnx", program_of(Bessel(), torch.randn(2, 3)), tmp_path)


def test_weights_beyond_one_file_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: Path) -> None:
    monkeypatch.setattr(target, "ONE_FILE_BYTES", 0)
    module, x = nn.Linear(64, 64), torch.randn(2, 64)
    program = program_of(module, x)
    artifact = export("onnx", program, tmp_path / "made")
    assert artifact.graphs["model"].files == ("model.onnx", "model.onnx.data")
    (tmp_path / "made").rename(tmp_path / "moved")
    with open_it("onnx", program, tmp_path / "moved", artifact) as runner:
        np.testing.assert_allclose(runner.run({"x": x.numpy()})["output_0"], module(x).numpy(), atol=1e-6)
    assert not own.exists()


def test_exporting_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    export("onnx", TOYS["mlp"].program(), tmp_path)
    said = capfd.readouterr()
    assert (said.out, said.err, len(recwarn)) == ("", "", 0)


@pytest.mark.parametrize("damage", ["none", "garbage", "truncated", "empty"])
def test_the_optimised_model_is_cached_and_never_trusted(tmp_path: Path, own: Path, damage: str) -> None:
    toy = TOYS["conv"]
    program = toy.program()
    artifact = export("onnx", program, tmp_path / "made")
    for _ in range(2):
        with open_it("onnx", program, tmp_path / "made", artifact, threads=1) as runner:
            np.testing.assert_allclose(
                runner.run(toy.feed())["output_0"], toy.expected(toy.feed())["output_0"], atol=1e-5
            )
        (kept,) = own.iterdir()
        content = kept.read_bytes()
        assert "BatchNormalization" not in content.decode(errors="ignore")
        if damage != "none":
            kept.write_bytes(
                {"garbage": b"not a model", "truncated": content[: len(content) // 2], "empty": b""}[damage]
            )


@pytest.mark.parametrize("value", ["off", "a file is in the way"])
def test_it_opens_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCHPORT_CACHE", "off" if value == "off" else str(tmp_path / "file"))
    toy = TOYS["mlp"]
    artifact = export("onnx", toy.program(), tmp_path / "made")
    with open_it("onnx", toy.program(), tmp_path / "made", artifact) as runner:
        assert runner.run(toy.feed())
    assert cache.folder() is None or not list((tmp_path / "file").parent.glob("file/*"))


def test_no_provider_but_the_one_asked_for(tmp_path: Path) -> None:
    toy = TOYS["mlp"]
    artifact = export("onnx", toy.program(), tmp_path)
    how = {"program": toy.program(), "folder": tmp_path, "artifact": artifact}
    with pytest.raises(RunError, match="has no NoSuchExecutionProvider"):
        open_it("onnx", provider="NoSuchExecutionProvider", **how)
    with pytest.raises(RunError, match="no device 'cuda'"):
        open_it("onnx", device="cuda", **how)
    with open_it("onnx", provider="CPUExecutionProvider", threads=2, **how) as runner:
        assert runner.used.provider == "CPUExecutionProvider"
        assert runner.used.threads == 2
        assert runner.used.version == onnxruntime.__version__


def test_a_damaged_model_is_a_run_error(tmp_path: Path) -> None:
    toy = TOYS["mlp"]
    artifact = export("onnx", toy.program(), tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(RunError, match=r"cannot open model\.onnx"):
        open_it("onnx", toy.program(), tmp_path, artifact)


class Rough(nn.Module):
    """Computes in bfloat16 for a step."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.bfloat16() * x.bfloat16()).float()


def test_types_that_the_runtime_does_not_compute_in_are_told_without_its_own_names(tmp_path: Path) -> None:
    program = program_of(Rough(), torch.randn(2, 3))
    artifact = export("onnx", program, tmp_path)
    with pytest.raises(RunError, match=r"ONNX Runtime has no Mul for the types .*\(bfloat16, for one\); compute in"):
        open_it("onnx", program, tmp_path, artifact)


class Projected(nn.Module):
    """An LSTM whose state is smaller than its cell, which the exporter writes otherwise than the runtime reads."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.LSTM(3, 6, proj_size=2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.net(x)[0]
        return answer


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_failing_run_is_told_without_the_runtime_s_codes(tmp_path: Path) -> None:
    program = program_of(Projected(), torch.randn(2, 4, 3))
    artifact = export("onnx", program, tmp_path)
    with (
        open_it("onnx", program, tmp_path, artifact) as runner,
        pytest.raises(RunError, match=r"failed on .* float32.*: LSTM: ") as caught,
    ):
        runner.run({runner.signature.inputs[0].name: np.zeros((2, 4, 3), np.float32)})
    assert "ONNXRuntimeError" not in str(caught.value)
    assert "node_" not in str(caught.value)


def test_the_table_of_functions_is_made_once_and_the_exporter_left_as_it_was(tmp_path: Path) -> None:
    plain = vars(ONNXRegistry)["from_torchlib"]
    program = program_of(nn.Linear(3, 2), torch.randn(2, 3))
    export("onnx", program, tmp_path)
    made = dict(onnx_registry._MADE)
    export("onnx", program, tmp_path)
    assert [id(table) for table in made.values()] == [id(table) for table in onnx_registry._MADE.values()]
    assert made and vars(ONNXRegistry)["from_torchlib"] is plain


def test_the_table_is_made_anew_where_a_library_has_added_operators() -> None:
    with onnx_registry.registry_kept():
        before = ONNXRegistry.from_torchlib()
        with torch.library._scoped_library("torchport_test_table", "DEF") as library:
            library.define("more(Tensor x) -> Tensor")
            assert ONNXRegistry.from_torchlib() is not before
        assert ONNXRegistry.from_torchlib() is ONNXRegistry.from_torchlib()
