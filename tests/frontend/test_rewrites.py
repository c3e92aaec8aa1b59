"""A program written otherwise answers as before, and is tried where the plain road fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torchport.errors import UnsupportedByTarget
from torchport.frontend import simpler
from torchport.frontend.ladder import capture_graph
from torchport.frontend.rewrites import applying, rewritten, writings
from torchport.targets.base import ExportOptions
from torchport.targets.onnx import Onnx

BATCH, TIME = 2, 12


class Applied(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class Rotary(nn.Module):
    """Positions as a complex buffer."""

    def __init__(self) -> None:
        super().__init__()
        angles = torch.arange(64)[:, None] / torch.tensor([1.0, 2.0, 3.0, 4.0])
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.turns, Tensor)
        turned = torch.view_as_complex(x.reshape(*x.shape[:2], 4, 2)) * self.turns[: x.shape[1]]
        return torch.view_as_real(turned).flatten(2)


def captured(function: Callable[[Tensor], Any] | nn.Module):
    module = function if isinstance(function, nn.Module) else Applied(function)
    example = np.random.default_rng(0).standard_normal((BATCH, TIME, 8)).astype(np.float32)
    return capture_graph("model", module.eval(), {"x": example}, dims={"x": {0: "batch", 1: "time"}}), module


def pairs_of(x: Tensor) -> Tensor:
    return torch.view_as_complex(x.reshape(*x.shape[:2], 4, 2))


COMPLEX: dict[str, Callable[[Tensor], Any] | nn.Module] = {
    "rotary": Rotary(),
    "polar": lambda x: torch.polar(x.abs(), x).real + torch.complex(x, x).angle(),
    "products": lambda x: torch.view_as_real(pairs_of(x) @ pairs_of(x).transpose(1, 2).conj()),
    "quotients": lambda x: torch.view_as_real(pairs_of(x) / (pairs_of(x).abs() + 1) - pairs_of(x) / (2 + 1j)),
    "powers": lambda x: (pairs_of(x) ** 2 + pairs_of(x).exp()).abs(),
    "shapes": lambda x: torch.cat([pairs_of(x), pairs_of(x).permute(0, 1, 2)[..., None].squeeze(-1)], 2).sum(2).imag,
    "fft": lambda x: torch.view_as_real(torch.fft.fft(x, dim=-1, norm="forward")),
    "fft over the free axis": lambda x: torch.fft.fft(x, dim=1, norm="ortho").abs(),
    "ifft": lambda x: torch.fft.ifft(torch.fft.fft(x, dim=-1)).real,
    "rfft and back": lambda x: torch.fft.irfft(torch.fft.rfft(x) * 2, n=8),
    "odd size and back": lambda x: torch.fft.irfft(torch.fft.rfft(x[..., :7], norm="ortho"), n=7, norm="ortho"),
    "fftn": lambda x: torch.fft.fftn(x, dim=(1, 2)).real,
    "rfft2": lambda x: torch.fft.rfft2(x.reshape(*x.shape[:2], 2, 4)).abs(),
    "irfft2": lambda x: torch.fft.irfft2(torch.fft.rfft2(x.reshape(*x.shape[:2], 2, 4)), s=(2, 4)),
    "stft": lambda x: torch.stft(x.flatten(1), 16, 8, window=torch.hann_window(16), return_complex=True).abs(),
    "stft in pairs": lambda x: torch.view_as_real(
        torch.stft(x.flatten(1), 16, 4, 12, torch.hamming_window(12), False, onesided=False, return_complex=True)
    ),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers_become_pairs_of_real_ones(name: str) -> None:
    graph, module = captured(COMPLEX[name])
    assert "complex numbers as pairs" in applying(graph)
    other, _ = rewritten(graph)
    assert other.exported is not None
    assert not any(
        isinstance(value := node.meta.get("val"), Tensor) and value.is_complex() for node in other.exported.graph.nodes
    )
    for batch, time in ((BATCH, TIME), (3, 20)):
        x = torch.randn(batch, time, 8)
        torch.testing.assert_close(other.exported.module(check_guards=False)(x), module(x), rtol=1e-4, atol=1e-5)


def test_a_complex_operator_that_no_rule_knows_is_named() -> None:
    graph, _ = captured(lambda x: torch.view_as_complex(x.reshape(*x.shape[:2], 4, 2)).sinh().abs())
    with pytest.raises(UnsupportedByTarget, match=r"aten\.sinh\.default of complex numbers"):
        rewritten(graph)


def test_a_program_without_what_is_rewritten_stays() -> None:
    graph, _ = captured(lambda x: x.relu())
    assert rewritten(graph) == (graph, [])


def test_a_grid_takes_any_size() -> None:
    class Turned(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            theta = x.mean((1, 2, 3))[:, None, None] + torch.eye(2, 3)
            grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=True)
            return nn.functional.grid_sample(x, grid, align_corners=True)

    example = np.random.default_rng(0).standard_normal((2, 3, 8, 9)).astype(np.float32)
    graph = capture_graph("model", Turned(), {"x": example}, dims={"x": {0: "batch", 2: "height", 3: "width"}})
    assert graph.rung == "strict"
    x = torch.randn(3, 3, 5, 11)
    torch.testing.assert_close(graph.exported.module(check_guards=False)(x), Turned()(x), rtol=1e-4, atol=1e-5)


def test_branches_are_captured_whatever_watches() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small, self.great = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.abs().mean() > 10, self.great.forward, self.small.forward, (x,))

    graph, module = captured(Branch())
    for x in (torch.randn(3, 5, 8), 100 * torch.randn(1, 4, 8)):
        torch.testing.assert_close(graph.exported.module(check_guards=False)(x), module(x))


class Particular(Onnx):
    """ONNX without remainders by a number."""

    name = "particular"

    def _export(self, graph, *more):
        if "aten.remainder.Scalar" in graph.operators():
            raise UnsupportedByTarget("particular cannot take a remainder by a number")
        return super()._export(graph, *more)


def test_where_the_plain_road_fails_a_graph_is_written_otherwise_and_the_artefact_says_so(tmp_path: Path) -> None:
    graph, module = captured(lambda x: x % x.shape[1])
    target = Particular()
    made, notes = target.convert(graph, tmp_path, ExportOptions(), None)
    assert made.rewrites == ("free sizes as tensors",)
    assert "was written otherwise (free sizes as tensors), for as it was: particular cannot take" in notes[-1]
    x = np.random.default_rng(1).standard_normal((3, 5, 8)).astype(np.float32)
    with target.runner(graph.signature, made, tmp_path) as runner:
        np.testing.assert_allclose(runner.run({"x": x})["output_0"], module(torch.tensor(x)).numpy(), rtol=1e-5)


def test_where_nothing_can_be_written_otherwise_the_plain_road_says_why(tmp_path: Path) -> None:
    class Nothing(Onnx):
        def _export(self, graph, *more):
            raise UnsupportedByTarget("there is no way")

    graph, _ = captured(lambda x: x.relu())
    with pytest.raises(UnsupportedByTarget, match="there is no way"):
        Nothing().convert(graph, tmp_path, ExportOptions(), None)
    assert list(tmp_path.iterdir()) == []


def test_where_a_target_has_no_branches_both_are_computed_and_one_is_chosen(tmp_path: Path) -> None:
    class Straight(Onnx):
        def _export(self, graph, *more):
            if any(node.target is torch.ops.higher_order.cond for node in graph.need_exported("").graph.nodes):
                raise UnsupportedByTarget("straight has no branches")
            return super()._export(graph, *more)

    def forked(x: Tensor) -> Tensor:
        return torch.cond(x.mean() > 0, lambda x: x.exp() + 1, lambda x: x.log1p(), (x,))

    graph, _ = captured(forked)
    names = [names for _, names in writings(graph)]
    assert names == [["branches in core operators"], ["both branches computed and one chosen"]]
    made, _ = Straight().convert(graph, tmp_path, ExportOptions(), None)
    assert made.rewrites == ("both branches computed and one chosen",)
    with Onnx.runner(graph.signature, made, tmp_path) as runner:
        for sign in (1, -1):
            x = sign * np.full((3, 5, 8), 0.5, np.float32)
            wanted = np.exp(x) + 1 if sign > 0 else np.log1p(x)
            np.testing.assert_allclose(runner.run({"x": x})["output_0"], wanted, rtol=1e-5)


class Weighed(nn.Module):
    """A weight that is made of others at every call, beside one that a call changes."""

    def __init__(self) -> None:
        super().__init__()
        self.normed = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.calls, Tensor)
        self.calls += 1
        return self.normed(x)


def test_weights_that_are_made_of_weights_are_computed_beforehand() -> None:
    graph, module = captured(Weighed())
    other, names = rewritten(graph)
    assert names == ["weights computed beforehand"]
    assert "aten.div.Tensor" in graph.operators() and "aten.div.Tensor" not in other.operators()
    x = torch.randn(3, 5, 8)
    torch.testing.assert_close(other.callable()(x), module(x))


VIDEO = torch.randn(2, 4, 6, 9, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 1, 2)])
@pytest.mark.parametrize("dilation", [(1, 1, 1), (2, 1, 1)])
def test_operators_over_frames_are_those_over_pictures(
    stride: tuple[int, int, int], dilation: tuple[int, int, int]
) -> None:
    for groups, padding in ((1, (0, 0, 0)), (2, (1, 0, 1))):
        weight, bias = torch.randn(8, 4 // groups, 3, 3, 2), torch.randn(8)
        wanted = nn.functional.conv3d(VIDEO, weight, bias, stride, padding, dilation, groups)
        torch.testing.assert_close(simpler.conv3d(VIDEO, weight, bias, stride, padding, dilation, groups), wanted)
    wanted = nn.functional.max_pool3d(VIDEO, (2, 3, 3), stride, (1, 1, 1), dilation)
    torch.testing.assert_close(simpler.max_pool3d(VIDEO, (2, 3, 3), stride, (1, 1, 1), dilation), wanted)
    wanted = nn.functional.avg_pool3d(VIDEO, (2, 3, 3), stride, (1, 1, 1))
    torch.testing.assert_close(simpler.avg_pool3d(VIDEO, (2, 3, 3), stride, (1, 1, 1)), wanted)


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("last", [False, True])
def test_a_bag_of_rows_is_scattered(mode: str, last: bool) -> None:
    bag = nn.EmbeddingBag(20, 4, mode=mode, include_last_offset=last, padding_idx=3)
    ids, offsets = torch.tensor([3, 5, 5, 7, 3, 1]), torch.tensor([0, 2, 2, 5, 6][: 5 if last else 4])
    number = {"sum": 0, "mean": 1}[mode]
    got = simpler.embedding_bag(bag.weight, ids, offsets, mode=number, include_last_offset=last, padding_idx=3)[0]
    torch.testing.assert_close(got, bag(ids, offsets))


@pytest.mark.parametrize("function", [lambda m: 1.0 - m, lambda m: torch.rsub(m, 2.5, alpha=2), lambda m: 3 - m])
def test_a_number_less_integers_reaches_onnx(function: Callable[[Tensor], Tensor], tmp_path: Path) -> None:
    example = {"x": np.array([[0, 1, 1], [1, 0, 1]], np.int64)}
    graph = capture_graph("model", Applied(function).eval(), example, dims={"x": {0: "batch"}})
    made, _ = Onnx().convert(graph, tmp_path, ExportOptions(), None)
    with Onnx.runner(graph.signature, made, tmp_path) as runner:
        x = np.array([[3, 0, 1], [1, 1, 0], [2, 2, 2]], np.int64)
        wanted = function(torch.tensor(x)).numpy()
        got = runner.run({"x": x})["output_0"]
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


def test_padding_by_its_name_becomes_numbers() -> None:
    one, two = nn.Conv1d(8, 4, 3, padding="same"), nn.Conv2d(1, 2, (2, 3), padding="same")
    graph, module = captured(lambda x: two(one(x.transpose(1, 2))[:, None]))
    other, names = rewritten(graph)
    assert names == ["operators in simpler ones"]
    assert not {name for name in other.operators() if name.endswith(".padding")}
    x = torch.randn(3, 10, 8)
    torch.testing.assert_close(other.callable()(x), module(x))
