"""What is captured of a model, and what is said where it cannot be."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn

from torchport.errors import BadInput, CaptureError
from torchport.frontend.ladder import capture_graph
from torchport.frontend.program import GraphProgram, flatten_outputs
from torchport.types import Bound


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def shapes(graph: GraphProgram) -> tuple[dict[str, tuple], dict[str, tuple]]:
    return {s.name: (s.dtype, *s.shape) for s in graph.signature.inputs}, {
        s.name: (s.dtype, *s.shape) for s in graph.signature.outputs
    }


def same(graph: GraphProgram, model: nn.Module, feed: Mapping[str, np.ndarray]) -> None:
    """The captured graph answers a feed of another size like the model."""
    tensors = [torch.from_numpy(feed[spec.name]) for spec in graph.signature.inputs]
    runnable = graph.exported.module() if graph.exported is not None else graph.callable()
    got, wanted = (
        flatten_outputs(runnable(*tensors)),
        flatten_outputs(model(**{s.name: t for s, t in zip(graph.signature.inputs, tensors, strict=True)})),
    )
    assert list(got) == [spec.name for spec in graph.signature.outputs]
    for value, reference in zip(got.values(), wanted.values(), strict=True):
        torch.testing.assert_close(value, reference)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(10, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


def test_batch_is_dynamic_by_default_and_one_item_runs() -> None:
    model = Net().eval()
    graph = capture_graph("model", model, {"x": floats(2, 10)})
    assert shapes(graph) == ({"x": ("float32", "batch", 10)}, {"output_0": ("float32", "batch", 5)})
    assert graph.signature.dims == {"batch": Bound(min=1, max=None)}
    assert graph.rung == "strict"
    assert not graph.said
    for size in (1, 3):
        same(graph, model, {"x": floats(size, 10)})


def test_a_single_example_is_enough() -> None:
    graph = capture_graph("model", Net().eval(), {"": floats(1, 10)})
    assert graph.signature.inputs[0].shape == ("batch", 10)
    assert graph.examples["x"].shape == (2, 10)


class Many(nn.Module):
    """Two inputs, integers and booleans, a fixed table, nested outputs with None among them."""

    def forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        table: torch.Tensor,
        scale: float = 2.0,
        *,
        shift: torch.Tensor | None = None,
    ) -> dict:
        rows = table[ids] * scale * mask.unsqueeze(-1)
        if shift is not None:
            rows = rows + shift
        return {"rows": rows, "extra": (mask.any(1), ids.sum(1), None), "doubled": torch.cat([rows, rows])}


def test_several_inputs_and_nested_outputs() -> None:
    feed = {"table": floats(9, 4), "mask": np.ones((2, 3), bool), "ids": np.arange(6).reshape(2, 3)}
    graph = capture_graph("model", Many().eval(), feed)
    inputs, outputs = shapes(graph)
    assert inputs == {"ids": ("int64", "batch", 3), "mask": ("bool", "batch", 3), "table": ("float32", 9, 4)}
    assert list(inputs) == ["ids", "mask", "table"]
    assert outputs == {
        "rows": ("float32", "batch", 3, 4),
        "extra.0": ("bool", "batch"),
        "extra.1": ("int64", "batch"),
        "doubled": ("float32", "2*batch", 3, 4),
    }
    same(graph, Many(), {"ids": np.ones((5, 3), np.int64), "mask": np.zeros((5, 3), bool), "table": floats(9, 4)})


def test_keyword_only_arguments_are_bound_by_name() -> None:
    feed = {
        "ids": np.arange(6).reshape(2, 3),
        "mask": np.ones((2, 3), bool),
        "table": floats(9, 4),
        "shift": floats(2, 1, 4),
    }
    graph = capture_graph("model", Many().eval(), feed)
    assert [spec.name for spec in graph.signature.inputs] == ["ids", "mask", "table", "shift"]
    same(graph, Many(), {name: array[:1] if name != "table" else array for name, array in feed.items()})


class Picture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.conv(x)
        return y, y.mean((2, 3))


def test_named_dimensions_with_bounds() -> None:
    model = Picture().eval()
    dims = {"x": {0: "batch", 2: "height", 3: "width"}}
    graph = capture_graph(
        "model",
        model,
        {"x": floats(2, 3, 20, 20)},
        dims=dims,
        bounds={"height": Bound(min=8, max=64), "batch": Bound(max=8)},
    )
    inputs, outputs = shapes(graph)
    assert inputs == {"x": ("float32", "batch", 3, "height", "width")}
    assert outputs["output_1"] == ("float32", "batch", 4)
    assert "height" in str(outputs["output_0"][3])
    assert graph.signature.dims["batch"] == Bound(min=1, max=8)
    assert graph.signature.dims["height"] == Bound(min=8, max=64)
    assert graph.signature.dims["width"].max is None
    same(graph, model, {"x": floats(1, 3, 31, 22)})


def test_no_dimension_is_dynamic_where_none_is_named() -> None:
    graph = capture_graph("model", Net().eval(), {"x": floats(2, 10)}, dims={"x": {}})
    assert graph.signature.inputs[0].shape == (2, 10)
    assert not graph.signature.dims


class FixedBatch(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).reshape(2, 5)


def test_a_batch_that_the_model_fixes_is_a_note() -> None:
    graph = capture_graph("model", FixedBatch().eval(), {"x": floats(2, 10)})
    assert graph.signature.inputs[0].shape == (2, 10)
    assert "dimension 0 of 'x' at 2" in graph.said["batch"]
    assert "test_ladder.py" in graph.said["batch"]


def test_a_named_dimension_that_the_model_fixes_is_an_error_with_the_line() -> None:
    with pytest.raises(
        CaptureError,
        match=r"fixes dimension 0 of 'x' at 2, 'n' cannot vary.*test_ladder\.py:\d+ in forward: return .*reshape",
    ):
        capture_graph("model", FixedBatch().eval(), {"x": floats(2, 10)}, dims={"x": {0: "n"}})


class BranchesOnSize(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 2:
            return super().forward(x) * 2
        return super().forward(x)


def test_a_branch_on_the_size_is_found_too() -> None:
    with pytest.raises(CaptureError, match=r"'n' cannot vary, at test_ladder\.py:\d+"):
        capture_graph("model", BranchesOnSize().eval(), {"x": floats(2, 10)}, dims={"x": {0: "n"}})


class Squeezes(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.squeeze()


@pytest.mark.parametrize("dims", [None, {"x": {0: "batch"}}])
def test_a_model_that_answers_one_item_in_another_shape_is_captured_for_one(dims: dict | None) -> None:
    graph = capture_graph("model", Squeezes().eval(), {"x": floats(3, 10)}, dims=dims)
    assert shapes(graph) == ({"x": ("float32", 1, 10)}, {"output_0": ("float32", 10)})
    assert "one item at a time" in graph.said["batch"]


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scales = [1.0, 2.0, 3.0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scales[int(np.rint(x.abs().sum().item())) % 3]


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(10, 10), Gate())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x)


def test_what_cannot_be_captured_names_the_module_and_the_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        CaptureError,
        match=r"in module block\.1 \(Gate\), at .*test_ladder\.py:\d+ in forward: return x \* self\.scales",
    ) as caught:
        capture_graph("model", Gated().eval(), {"x": floats(2, 10)})
    for rung in ("strict", "non-strict", "trace"):
        assert f"{rung}: " in str(caught.value)
    assert "torch.where" in caught.value.hint
    assert "/torch/" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


class Asks(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float(input())


def test_a_model_that_fails_on_its_input_names_the_line() -> None:
    with pytest.raises(
        CaptureError,
        match=r"fails on x float32\[2, 10\] in module Asks, at .*test_ladder\.py:\d+ in forward: return x \* "
        r"float\(input",
    ):
        capture_graph("model", Asks().eval(), {"x": floats(2, 10)})
    with pytest.raises(CaptureError, match=r"in module block\.0 \(Linear\)"):
        capture_graph("model", Gated().eval(), {"x": floats(2, 7)})


@torch.library.custom_op("torchport_test::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    """An operator that only runs on real tensors, as a C++ extension without a fake kernel does."""
    return x * 2


class OnlyTraceable(Net):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = twice(super().forward(x))
        return {"y": y, "again": torch.cat([y, y])}


def test_trace_is_the_last_rung_and_the_others_are_quoted() -> None:
    graph = capture_graph("model", OnlyTraceable().eval(), {"x": floats(2, 10)})
    assert graph.rung == "trace"
    assert graph.exported is None
    assert set(graph.said) == {"strict", "non-strict", "script"}
    assert shapes(graph)[1] == {"y": ("float32", "batch", 5), "again": ("float32", "2*batch", 5)}
    same(graph, graph.callable(), {"x": floats(7, 10)})


def test_a_scripted_module_keeps_its_names() -> None:
    model = torch.jit.script(Net().eval())
    graph = capture_graph("model", model, {"": floats(2, 10)})
    assert graph.rung == "script"
    assert graph.exported is None
    assert graph.module is model
    assert shapes(graph) == ({"x": ("float32", "batch", 10)}, {"output_0": ("float32", "batch", 5)})
    assert graph.signature.dims == {"batch": Bound(min=1, max=None)}


class Anything(nn.Module):
    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        return args[0] + args[1]


def test_forward_that_takes_anything_keeps_the_names_of_the_data() -> None:
    graph = capture_graph("model", Anything().eval(), {"a": floats(2, 3), "b": floats(2, 3)})
    assert shapes(graph)[0] == {"a": ("float32", "batch", 3), "b": ("float32", "batch", 3)}
    assert graph.exported is not None


def test_examples_that_are_not_the_arguments() -> None:
    with pytest.raises(BadInput, match="there is an input 'y', forward takes x"):
        capture_graph("model", Net(), {"y": floats(2, 10)})
    with pytest.raises(BadInput, match="forward needs 'mask'"):
        capture_graph("model", Many(), {"ids": np.ones((2, 3), np.int64)})
    with pytest.raises(CaptureError, match="'n' is 2 in one input and 3"):
        capture_graph("model", Anything(), {"a": floats(2, 3), "b": floats(3, 3)}, dims={"a": {0: "n"}, "b": {0: "n"}})


@dataclasses.dataclass
class Answer:
    logits: torch.Tensor


class Odd(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> object:
        return {"ordered": OrderedDict(logits=x * 2), "class": Answer(x), "set": {3}, "half": x.bfloat16()}[self.kind]


@pytest.mark.parametrize("kind", ["ordered", "class"])
def test_containers_of_other_kinds_become_plain(kind: str) -> None:
    graph = capture_graph("model", Odd(kind).eval(), {"x": floats(2, 3)})
    assert [spec.name for spec in graph.signature.outputs] == ["logits"]
    assert isinstance(graph.callable()(torch.zeros(2, 3)), dict)


def test_answers_that_nobody_can_name() -> None:
    import ml_dtypes  # noqa: F401 - teaches numpy the name bfloat16, as converters do when they are imported

    with pytest.raises(CaptureError, match="answers a set without tensors"):
        capture_graph("model", Odd("set").eval(), {"x": floats(2, 3)})
    with pytest.raises(CaptureError, match="bfloat16, which numpy does not have"):
        capture_graph("model", Odd("half").eval(), {"x": floats(2, 3)})


def test_a_scalar_input_stays_a_scalar() -> None:
    graph = capture_graph("model", Anything().eval(), {"a": floats(2, 3), "k": np.asarray(2.0, np.float32)})
    assert [spec.shape for spec in graph.signature.inputs] == [("batch", 3), ()]
