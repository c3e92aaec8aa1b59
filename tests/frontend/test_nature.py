"""What a model's answers depend on besides its inputs is said before anything is exported."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchport.errors import CaptureError
from torchport.frontend.ladder import capture_graph


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


class Rows(nn.Module):
    """One linear layer over rows of 8 numbers, and whatever `kind` does besides."""

    def __init__(self, kind: str = "") -> None:
        super().__init__()
        self.kind, self.calls, self.last, self.mask = kind, 0, None, None
        self.fc, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(8, track_running_stats=False)
        self.register_buffer("level", torch.zeros(8))
        self.register_buffer("schedule", torch.linspace(0.1, 2.0, 20))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return getattr(self, self.kind)(self.fc(x))

    def dropped(self, y: torch.Tensor) -> torch.Tensor:
        return F.dropout(y, 0.5)

    def sampled(self, y: torch.Tensor) -> torch.Tensor:
        return y + torch.randn_like(y)

    def multinomial(self, y: torch.Tensor) -> torch.Tensor:
        return torch.multinomial(y.softmax(-1), 1)

    def python_random(self, y: torch.Tensor) -> torch.Tensor:
        return y * random.random()

    def numpy_random(self, y: torch.Tensor) -> torch.Tensor:
        return y * float(np.random.rand())

    def running(self, y: torch.Tensor) -> torch.Tensor:
        self.level.mul_(0.9).add_(0.1 * y.mean(0))
        return y - self.level

    def assigned(self, y: torch.Tensor) -> torch.Tensor:
        self.level = 0.9 * self.level + 0.1 * y.mean(0)
        return y - self.level

    def counted(self, y: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return y * self.calls

    def remembered(self, y: torch.Tensor) -> torch.Tensor:
        before, self.last = self.last, y
        return y if before is None else y + before

    def harmless_count(self, y: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.level.copy_(y.mean(0))
        return y

    def cached_mask(self, y: torch.Tensor) -> torch.Tensor:
        if self.mask is None:
            self.mask = torch.tril(torch.ones(8, 8))
        return y @ self.mask

    def dropped_in_training(self, y: torch.Tensor) -> torch.Tensor:
        return F.dropout(y, 0.5, self.training)

    def scratch(self, y: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(y)
        out[:] = y
        return out

    def centred(self, y: torch.Tensor) -> torch.Tensor:
        return y - y.mean(dim=0)

    def softmax_over_items(self, y: torch.Tensor) -> torch.Tensor:
        return y.softmax(0)

    def mean_of_items(self, y: torch.Tensor) -> torch.Tensor:
        return y.mean(0)

    def batch_statistics(self, y: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(torch.stack([y, 2 * y], 2), None, None, training=True)

    def scaled_by_the_first(self, y: torch.Tensor) -> torch.Tensor:
        return y * y[0, 0]

    def state_first(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return y, torch.stack([y, 2 * y, 3 * y])  # [layers, batch, 8], as a recurrent layer answers its state

    def selected(self, y: torch.Tensor) -> torch.Tensor:
        return y[y[:, 0] > 0]

    def table(self, y: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": y, "table": torch.eye(2)}


@pytest.mark.parametrize("kind", ["dropped", "sampled", "multinomial"])
def test_chance_is_refused_with_its_line(kind: str) -> None:
    with pytest.raises(CaptureError, match=rf"forward is random: .* at .*test_nature\.py:\d+ in {kind}: return"):
        capture_graph("model", Rows(kind).eval(), {"x": floats(2, 8)})


@pytest.mark.parametrize("kind", ["python_random", "numpy_random"])
def test_chance_of_another_generator_is_refused_too(kind: str) -> None:
    with pytest.raises(CaptureError, match="from Python's or numpy's generator"):
        capture_graph("model", Rows(kind).eval(), {"x": floats(2, 8)})


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("running", r"buffer 'level', at .*test_nature\.py:\d+ in running: self\.level\.mul_"),
        ("assigned", r"buffer 'level', at .*test_nature\.py:\d+ in assigned: self\.level = "),
        ("counted", r"attribute 'calls', at .*test_nature\.py:\d+ in counted: self\.calls \+= 1"),
        ("remembered", r"attribute 'last', at .*test_nature\.py:\d+ in remembered"),
    ],
)
def test_answers_that_depend_on_earlier_calls_name_what_is_kept(kind: str, named: str) -> None:
    model = Rows(kind).eval()
    with pytest.raises(CaptureError, match=f"forward changes its {named}.*depend on the calls before"):
        capture_graph("model", model, {"x": floats(2, 8)})
    assert torch.equal(model.level, torch.zeros(8))
    assert (model.calls, model.last) == (0, None)


class StaysInTraining(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 8), part)

    def train(self, mode: bool = True) -> StaysInTraining:
        super().train(mode)
        self.net[1].training = True
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def test_a_part_left_in_train_mode_is_named_where_it_shows() -> None:
    for part in (nn.BatchNorm1d(8), nn.Dropout(0.3)):
        with pytest.raises(CaptureError, match=rf"net\.1 \({type(part).__name__}\) stays in train mode"):
            capture_graph("model", StaysInTraining(part).eval(), {"x": floats(3, 8)})
    capture_graph("model", StaysInTraining(nn.ReLU()).eval(), {"x": floats(2, 8)})


@pytest.mark.parametrize(
    "kind", ["harmless_count", "cached_mask", "dropped_in_training", "scratch", "table", "state_first"]
)
def test_what_does_not_change_an_answer_is_no_fault_and_leaves_nothing_behind(kind: str) -> None:
    model = Rows(kind).eval()
    graph = capture_graph("model", model, {"x": floats(2, 8)})
    assert graph.signature.inputs[0].shape == ("batch", 8)
    assert (model.calls, model.mask) == (0, None)
    assert torch.equal(model.level, torch.zeros(8))


@pytest.mark.parametrize(
    "kind", ["centred", "softmax_over_items", "mean_of_items", "batch_statistics", "scaled_by_the_first"]
)
def test_items_that_touch_each_other_are_said_and_are_no_batch(kind: str) -> None:
    model = Rows(kind).eval()
    graph = capture_graph("model", model, {"x": floats(2, 8)})
    assert graph.signature.inputs[0].shape == ("group", 8)
    assert "batch" not in graph.signature.dims
    assert "depends on the other items of its batch: items are answered one at a time" in graph.said["batch"]
    for size in (1, 5):
        torch.testing.assert_close(
            graph.callable()(torch.from_numpy(floats(size, 8))), model(torch.from_numpy(floats(size, 8)))
        )


def test_a_single_example_shows_it_too() -> None:
    graph = capture_graph("model", Rows("centred").eval(), {"x": floats(1, 8)})
    assert graph.signature.inputs[0].shape == ("group", 8)


def test_rows_that_the_data_selects_are_not_taken_for_items() -> None:
    graph = capture_graph("model", Rows("selected").eval(), {"x": floats(2, 8)})
    assert graph.signature.inputs[0].shape == ("batch", 8)


def test_the_callers_random_numbers_and_input_are_left_alone() -> None:
    class Writes(Rows):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.mul_(2))

    feed, model = {"x": floats(2, 8)}, Writes().eval()
    before = torch.get_rng_state()
    capture_graph("model", model, feed)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(feed["x"], floats(2, 8))
