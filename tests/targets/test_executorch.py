"""What is particular to the executorch target; the rest is in the conformance suite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from torchport.errors import BadInput, RunError, UnsupportedByTarget
from torchport.frontend.ladder import capture_graph
from torchport.frontend.program import GraphProgram, Program
from torchport.targets import targets
from torchport.targets.base import ExportOptions
from torchport.targets.shared import executorch_passes
from torchport.targets.shared.executorch_words import meaning
from torchport.testing.toys import EXAMPLE, TOYS
from torchport.timing.fork_server import module_of
from torchport.types import Bound, Signature, TensorSpec

from .helpers import export, open_it, program_of

pytest.importorskip("executorch")


def test_every_dynamic_dimension_gets_a_bound_that_the_io_tells(tmp_path: Path) -> None:
    toy = TOYS["sequence"]
    artifact = targets.get("executorch").export(toy.program(), tmp_path, ExportOptions(max_batch=4))
    io = artifact.graphs["model"].io
    assert io["x"].max_shape == (4, 64, 4)
    assert io["output_0"].max_shape == (4, 64, 4)


def test_a_batch_beyond_the_bound_is_cut_and_joined(tmp_path: Path) -> None:
    toy = TOYS["conv"]
    program = toy.program()
    artifact = targets.get("executorch").export(program, tmp_path, ExportOptions(max_batch=3))
    feed = toy.feed({**EXAMPLE, "batch": 8})
    with open_it("executorch", program, tmp_path, artifact) as runner:
        answer = runner.run(feed)
    for name, right in toy.expected(feed).items():
        np.testing.assert_allclose(answer[name], right, atol=1e-5)


def test_an_unbounded_length_takes_the_options_bound_and_no_more(tmp_path: Path) -> None:
    exported = torch.export.export(nn.Softmax(0), (torch.rand(5),), dynamic_shapes=({0: torch.export.Dim("length")},))
    spec = {"dtype": "float32", "shape": ("length",)}
    signature = Signature(
        inputs=(TensorSpec(name="x", **spec),), outputs=(TensorSpec(name="output_0", **spec),), dims={"length": Bound()}
    )
    program = Program({"model": GraphProgram("model", signature, {"x": np.ones(5, np.float32)}, exported)})
    artifact = targets.get("executorch").export(program, tmp_path, ExportOptions(max_size=16))
    with open_it("executorch", program, tmp_path, artifact) as runner:
        np.testing.assert_allclose(runner.run({"x": np.ones(16, np.float32)})["output_0"], 1 / 16, atol=1e-6)
        with pytest.raises(BadInput, match=r"at most \[16\]"):
            runner.run({"x": np.ones(17, np.float32)})


def test_a_network_without_products_is_refused_as_int8_dynamic(tmp_path: Path) -> None:
    program = program_of(nn.Sequential(nn.Conv1d(2, 3, 1), nn.ReLU()), torch.zeros(1, 2, 4))
    with pytest.raises(UnsupportedByTarget, match="nothing to quantise"):
        targets.get("executorch").export(program, tmp_path, ExportOptions(precision="int8_dynamic"))


def test_constants_made_in_forward_survive_the_second_export(tmp_path: Path) -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.tensor([1.0, 2.0])

    program = program_of(Constant(), torch.zeros(3, 2))
    with open_it("executorch", program, tmp_path, export("executorch", program, tmp_path)) as runner:
        assert runner.run({"x": np.zeros((3, 2), np.float32)})["output_0"].tolist() == [[1, 2]] * 3


class Rows(nn.Module):
    """Convolutions of rows whose number and length are free, one of them by a weight that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(8, 6, 3, padding="same")
        self.two = nn.utils.parametrizations.weight_norm(nn.ConvTranspose1d(6, 4, 4, stride=2, padding=1))
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(self.one(x.transpose(1, 2)).relu()).transpose(1, 2))


def test_convolutions_of_rows_take_any_number_of_any_length(tmp_path: Path) -> None:
    module = Rows().eval()
    graph = capture_graph("model", module, {"x": np.zeros((2, 12, 8), np.float32)}, dims={"x": {0: "batch", 1: "time"}})
    target = targets.get("executorch")
    made, _ = target.convert(graph, tmp_path, ExportOptions(), None)
    with target.runner(graph.signature, made, tmp_path) as runner:
        for shape in ((1, 7, 8), (3, 21, 8)):
            x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
            wanted = module(torch.tensor(x)).detach().numpy()
            np.testing.assert_allclose(runner.run({"x": x})["output_0"], wanted, atol=1e-5)


def test_the_operator_that_fails_as_it_runs_is_named(tmp_path: Path) -> None:
    program = program_of(nn.Conv3d(2, 3, 2), torch.zeros(1, 2, 3, 4, 5))
    made, _ = targets.get("executorch")._plainly(program.graphs["model"], tmp_path, ExportOptions(), None)
    signature = program.graphs["model"].signature
    said = pytest.raises(RunError, match=r"an operator refuses its inputs .* in aten::convolution\.out")
    with targets.get("executorch").runner(signature, made, tmp_path) as runner, said:
        runner.run({"x": np.zeros((1, 2, 3, 4, 5), np.float32)})


@pytest.mark.parametrize("said", ["MemoryError: std::bad_alloc", "RuntimeError: Failed to load, error: 0x:21"])
def test_memory_that_is_not_to_be_had_is_said_in_words(said: str) -> None:
    assert meaning(said) == f"the memory planned for the greatest sizes is not to be had ({said})"


class Windows(nn.Module):
    """Windows of a row, laid side by side: a thousand times the memory of the row. A size that is worked out as the
    least of two.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        most = torch.sym_min(x.shape[1], 32768)
        return (x[:, :most, None] * x[:, None, :most]).exp().sum(-1)


def test_greatest_sizes_are_halved_until_the_plan_is_of_a_size_that_there_is(tmp_path: Path) -> None:
    module = Windows()
    graph = capture_graph("model", module, {"x": np.zeros((2, 12), np.float32)}, dims={"x": {0: "batch", 1: "time"}})
    target = targets.get("executorch")
    made, _ = target.convert(graph, tmp_path, ExportOptions(max_size=16384), None)
    assert made.io["x"].max_shape == (4, 8192)
    with target.runner(graph.signature, made, tmp_path) as runner:
        x = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
        np.testing.assert_allclose(runner.run({"x": x})["output_0"], module(torch.tensor(x)).numpy(), rtol=1e-4)


def test_an_operator_without_a_kernel_is_named(tmp_path: Path) -> None:
    class Inverse(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.inv(x)

    with pytest.raises(UnsupportedByTarget, match=r"no aten\.linalg_inv_ex\.default"):
        export("executorch", program_of(Inverse(), torch.eye(3)), tmp_path)


def test_what_runs_is_told(tmp_path: Path) -> None:
    conv, embedding = TOYS["conv"], TOYS["mlp"]
    for toy in (conv, embedding):
        program = toy.program()
        with open_it(
            "executorch", program, tmp_path / toy.name, export("executorch", program, tmp_path / toy.name), threads=1
        ) as runner:
            assert (runner.used.library, runner.used.provider, runner.used.threads) == ("executorch", "xnnpack", 1)
    with pytest.raises(RunError, match="has no cuda"):
        open_it(
            "executorch",
            program,
            tmp_path / toy.name,
            export("executorch", program, tmp_path / toy.name),
            device="cuda",
        )


def test_an_open_runner_keeps_its_threads_when_another_asks_for_more(tmp_path: Path) -> None:
    toy = TOYS["conv"]
    program = toy.program()
    artifact = export("executorch", program, tmp_path)
    with open_it("executorch", program, tmp_path, artifact, threads=1) as first:
        with open_it("executorch", program, tmp_path, artifact, threads=2) as second:
            assert second.used.threads == first.used.threads == 1
            second.run(toy.feed())
        first.run(toy.feed())
    with open_it("executorch", program, tmp_path, artifact, threads=2) as third:
        assert third.used.threads == 2
        third.run(toy.feed())


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.zeros(4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=self.mask)


class Resize(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(x, scale_factor=2, mode="bilinear")


@pytest.mark.parametrize(
    "module", [nn.Linear(4, 4), nn.Softmax(-1), Attention(), Resize()], ids=lambda one: type(one).__name__
)
def test_a_pass_that_is_left_out_would_have_changed_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: nn.Module
) -> None:
    """XNNPACK's passes that look for attention and for resizes: the same file comes of all of them."""
    program = program_of(module, torch.rand(2, 1, 4, 4))
    export("executorch", program, tmp_path)
    with_fewer = (tmp_path / "model.pte").read_bytes()
    monkeypatch.setattr(executorch_passes, "_LOOKS_FOR", {})
    export("executorch", program, tmp_path)
    assert (tmp_path / "model.pte").read_bytes() == with_fewer


def test_its_timing_processes_are_forked_from_one_that_has_pytorch() -> None:
    assert module_of("executorch") == module_of("eager") == "torch"
