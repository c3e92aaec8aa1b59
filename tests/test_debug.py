"""`torchport debug`: faults planted in the files of a Bundle are found where they are."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import torchport
from torchport.bundle import Bundle
from torchport.deployment.request import Request
from torchport.errors import BadInput, UsageError
from torchport.frontend.layers import Layer, beginning, layers_of
from torchport.frontend.program import GraphProgram
from torchport.frontend.safe import load_exported
from torchport.jobs.debug import debug
from torchport.jobs.debug_source import debug_source
from torchport.jobs.reproduce import reproduce
from torchport.targets import targets
from torchport.targets.onnx import Onnx
from torchport.verification.diverging import distance, diverging

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks/debug"))
from mutants import KINDS, mutants  # noqa: E402

TARGETS = ["onnx", "openvino", "torchscript"]


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.second = torch.nn.Conv2d(8, 8, 3, padding=1)
        self.attention = torch.nn.Linear(8, 8)
        self.layer_norm = torch.nn.LayerNorm(8)
        self.last = torch.nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.relu6(self.norm(self.first(x)))
        x = x + torch.nn.functional.gelu(self.second(x))
        x = self.layer_norm(self.attention(x.flatten(2).transpose(1, 2)))
        return self.last(x.softmax(-1).mean(1))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, everything_takes_a_millisecond: None) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("debug")
    pictures = np.random.default_rng(0).random((8, 3, 12, 12), np.float32)
    torchport.deploy(
        Net().eval(), folder / "net.tport", data=pictures, targets=TARGETS, recipes=["fp32"], keep="all", golden=2
    )
    yield folder / "net.tport"


@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32", "torchscript-fp32"])
def test_a_right_variant_has_no_such_layer(bundle: Path, variant: str) -> None:
    with Bundle(bundle) as opened:
        said, found = debug(opened, variant=variant, trusted=True)
    assert (said.cause, found) == ("none", None)


def test_a_fault_of_every_kind_is_named_where_it_was_planted(bundle: Path, tmp_path: Path) -> None:
    missed = []
    for kind, where, copy in mutants(bundle, "onnx-fp32", tmp_path, 2 * len(KINDS)):
        with Bundle(copy) as opened:
            said, _ = debug(opened, variant="onnx-fp32")
        if said.layer != where:
            missed.append((kind, where, said.said))
    assert missed == []


def test_the_module_and_the_line_are_the_users_own(bundle: Path, tmp_path: Path) -> None:
    kind, _, copy = next(mutants(bundle, "onnx-fp32", tmp_path, 1))
    assert kind == "one_weight"
    with Bundle(copy) as opened:
        said, found = debug(opened, variant="onnx-fp32", item=1)
        assert found is not None
        files = reproduce(said, found, tmp_path / "shown")
    assert said.module in ("first", "second", "attention", "last")
    assert "test_debug.py" in (said.place or "")
    assert said.before is not None and said.after is not None and said.before < 1e-5 < 1e-3 < said.after
    assert said.noise is not None and said.noise < 1e-4
    assert files == ["expected.safetensors", "inputs.safetensors", "part.onnx", "report.html", "show.py"]
    shown = subprocess.run(
        [sys.executable, "show.py"], cwd=tmp_path / "shown", check=True, capture_output=True, text=True, timeout=120
    )
    assert float(shown.stdout.rsplit(" ", 1)[1]) == pytest.approx(said.after, rel=0.05)
    assert "<polyline" in (tmp_path / "shown/report.html").read_text()


def test_openvino_is_examined_by_what_its_layers_hold(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.tport"
    shutil.copytree(bundle, copy)
    place = "variants/openvino-fp32/model.bin"
    content = bytearray((copy / place).read_bytes())
    weights = np.frombuffer(content, np.float32)
    wanted = Net().attention.weight.detach().numpy().reshape(-1)
    start = next(i for i in range(len(weights) - len(wanted)) if np.array_equal(weights[i : i + len(wanted)], wanted))
    weights[start + 5] += 2.0
    (copy / place).write_bytes(content)
    listed(copy, place)
    with Bundle(copy) as opened:
        said, found = debug(opened, variant="openvino-fp32")
        assert found is not None
        files = reproduce(said, found, tmp_path / "shown")
    assert said.op == "MatMul" and said.module == "attention"
    assert "show.py" in files
    subprocess.run([sys.executable, "show.py"], cwd=tmp_path / "shown", check=True, timeout=120)


def test_a_runtime_that_shows_nothing_is_examined_by_parts(bundle: Path, tmp_path: Path) -> None:
    """The parts that are exported anew are right: the file itself was changed."""
    copy = tmp_path / "copy.tport"
    shutil.copytree(bundle, copy)
    place = "variants/torchscript-fp32/model.pt"
    net = Net().eval()
    with torch.no_grad():
        net.last.bias += 1
    torch.jit.trace(net, torch.rand(2, 3, 12, 12)).save(copy / place)
    listed(copy, place)
    with Bundle(copy) as opened:
        said, _ = debug(opened, variant="torchscript-fp32", trusted=True)
    assert said.cause == "graph" and "the file was changed" in said.said


def test_a_program_is_cut_at_any_of_its_operators(bundle: Path) -> None:
    program = load_exported(bundle / "reference/model.pt2")
    feed = {"x": np.random.default_rng(1).random((2, 3, 12, 12), np.float32)}
    layers = layers_of(program, feed)
    assert {"first", "norm", "last"} <= {layer.module for layer in layers}
    with Bundle(bundle) as opened:
        whole = GraphProgram("model", opened.manifest.graphs["model"], feed, program)
    module = program.module(check_guards=False)
    for layer in layers[1::4]:
        if layer.value.dtype.kind == "f":
            graph = beginning(whole, module, layer.name, alone=True)
            (made,) = layers_of(graph.need_exported("onnx"), feed)[-1:]
            assert distance(made.value, layer.value) < 1e-5


def test_what_is_not_there_is_said(bundle: Path) -> None:
    with Bundle(bundle) as opened:
        with pytest.raises(UsageError, match="no variant 'mnn-fp32'"):
            debug(opened, variant="mnn-fp32")
        with pytest.raises(UsageError, match="no golden item 9: the Bundle keeps 2"):
            debug(opened, item=9)


def test_a_rewritten_operator_is_no_divergence() -> None:
    """Values that only one side has are intermediates as long as something that follows matches."""
    rng = np.random.default_rng(0)
    x = rng.random((2, 5)).astype(np.float32)
    reference = [Layer("gelu", "gelu", ("x",), x * 2), Layer("sum", "sum", ("gelu",), (x * 2).sum(1))]
    right = [
        Layer("a", "Div", ("x",), x / 7),
        Layer("b", "Mul", ("a",), x * 2 + 1e-8),
        Layer("c", "ReduceSum", ("b",), (x * 2).sum(1)),
    ]
    assert diverging(reference, right, {"x": x}, 1e-4) is None
    wrong = [right[0], Layer("b", "Mul", ("a",), x * 3), Layer("c", "ReduceSum", ("b",), (x * 3).sum(1))]
    found = diverging(reference, wrong, {"x": x}, 1e-4)
    assert found is not None and found.layer.name in ("a", "b")
    assert found.reference is not None and found.reference.name == "gelu"


def test_distances() -> None:
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert distance(a, a) == 0.0
    assert distance(a.T, a) == 0.0
    assert distance(a.reshape(1, 2, 3), a) == 0.0
    assert distance(a[:1], a) == float("inf")
    assert distance(np.full(3, np.inf), np.zeros(3)) == float("inf")
    assert distance(np.array([np.nan, 1.0]), np.array([np.nan, 1.0])) == 0.0
    assert distance(np.zeros(3), np.zeros(3)) == 0.0


def listed(bundle: Path, place: str) -> None:
    """The manifest agrees with the changed file."""
    manifest = json.loads((bundle / "torchport.json").read_text())
    content = (bundle / place).read_bytes()
    for entry in manifest["files"]:
        if entry["path"] == place:
            entry["size"], entry["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    (bundle / "torchport.json").write_text(json.dumps(manifest))


def test_a_file_of_the_users_is_answered_by_the_reference(bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.random.default_rng(5).random((1, 3, 12, 12), np.float32))
    _, where, copy = next(mutants(bundle, "onnx-fp32", tmp_path, 1))
    with Bundle(copy) as opened:
        said, _ = debug(opened, variant="onnx-fp32", item=tmp_path / "mine.npy")
        assert (said.item, said.layer) == ("mine.npy", where)
        with pytest.raises(BadInput, match="there is no file"):
            debug(opened, variant="onnx-fp32", item=tmp_path / "none.npy")


def test_a_variant_is_held_against_another(bundle: Path, tmp_path: Path) -> None:
    _, where, copy = next(mutants(bundle, "onnx-fp32", tmp_path, 1))
    with Bundle(copy) as opened:
        said, _ = debug(opened, variant="onnx-fp32", against="openvino-fp32")
        assert said.layer == where and said.said.startswith("onnx-fp32 leaves openvino-fp32 at")
        assert (said.place or "").startswith("test_debug.py:")
        right, _ = debug(opened, variant="openvino-fp32", against="openvino-fp32")
        assert right.said == f"openvino-fp32 answers {right.item} like openvino-fp32 in every graph"


class Halved(Onnx):
    """ONNX that writes a ReLU6 as a ReLU."""

    name = "halved"

    def _export(self, graph, entry, *more):
        io = super()._export(graph, entry, *more)
        model = onnx.load(entry)
        for node in model.graph.node:
            if node.op_type == "Clip":
                node.op_type = "Relu"
                del node.input[1:]
        onnx.save(model, entry)
        return io


@pytest.fixture
def halved() -> Iterator[None]:
    with targets.using("halved", Halved()):
        yield


def test_a_source_is_debugged_where_no_bundle_is_made_of_it(tmp_path: Path, halved: None) -> None:
    pictures = 20 * np.random.default_rng(0).random((8, 3, 12, 12), np.float32)
    np.save(tmp_path / "pictures.npy", pictures)
    request = Request(Net().eval(), tmp_path / "x.tport", data=tmp_path / "pictures.npy", targets=["halved"])
    said, found = debug_source(request, tmp_path / "made")
    assert (said.cause, said.op, found is not None) == ("layer", "Relu", True)
    request = replace(request, targets=["halved", "onnx"])
    said, _ = debug_source(request, tmp_path / "both")
    assert said.op == "Relu" and "halved-fp32 leaves onnx-fp32 at" in said.said
    with pytest.raises(UsageError, match="on one target, or on two"):
        debug_source(replace(request, targets=None), tmp_path / "none")
