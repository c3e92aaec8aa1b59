"""How ranges of integers are found: channels equalised first, without altering an answer in float32, and the calibrator
that measures best.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from torchport.compress.equalise import equalised
from torchport.compress.int8_static import CALIBRATORS, best_calibrator, quantised
from torchport.compress.pt2e import opened
from torchport.frontend.ladder import capture_graph
from torchport.frontend.program import Arrays, GraphProgram


class Functional(nn.Module):
    """Layers that share a weight or are read twice, written as functions, before two whose scales can move."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.wide, self.narrow = nn.Linear(8, 8), nn.Linear(8, 32), nn.Linear(32, 8, bias=False)
        self.shared_too = nn.Linear(8, 8)
        self.shared_too.weight = self.shared.weight

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        rows = self.shared_too(nn.functional.linear(pixels, self.shared.weight, bias=self.shared.bias).relu())
        rows = rows + rows.relu()
        return self.narrow(nn.functional.leaky_relu(self.wide(rows)))


MOVING = {
    "convolution, ReLU, convolution": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)),
    "batch normalisation": nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3)
    ),
    "a channel each": nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.PReLU(8), nn.Conv2d(8, 16, 3, groups=8), nn.ReLU(), nn.Conv2d(16, 4, 1, groups=2)
    ),
    "pooling and flattening": nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 5)
    ),
    "the mean of a picture": nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8, 5)
    ),
    "linear layers, of functions": Functional(),
}

STAYING = {
    "ReLU6 cuts off": nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.Conv2d(8, 8, 3)),
    "GELU bends": nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8)),
    "pooling across a linear layer's channels": nn.Sequential(nn.Linear(8, 8), nn.AvgPool2d(2), nn.Linear(4, 8)),
    "no affine": nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), nn.Conv2d(8, 8, 3)),
}


def uneven(net: nn.Module) -> nn.Module:
    """The net with weights in which some channels are far larger than others."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(
                torch.randn_like(parameter)
                * torch.logspace(-2, 1, len(parameter)).view(-1, *[1] * (parameter.dim() - 1))
            )
    return net.eval()


@pytest.fixture(scope="module")
def feeds() -> list[Arrays]:
    random = np.random.default_rng(0)
    return [{"pixels": random.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(40)]


def captured(net: nn.Module, feeds: list[Arrays]) -> GraphProgram:
    name = "pixels" if isinstance(net, Functional) else "input"
    return capture_graph(
        "model", net, {name: np.concatenate([feeds[0]["pixels"], feeds[1]["pixels"]])}, dims={name: {0: "batch"}}
    )


def calls(feeds: list[Arrays]) -> list[tuple[torch.Tensor]]:
    return [(torch.from_numpy(feed["pixels"]),) for feed in feeds]


@pytest.mark.parametrize("net", MOVING.values(), ids=MOVING.keys())
def test_equalised_channels_answer_the_same_to_the_bit(net, feeds):
    graph = captured(uneven(net), feeds)
    before = {name: value.clone() for name, value in graph.need_exported("this test").state_dict.items()}
    made = equalised(opened(graph, "this test"), calls(feeds))
    with torch.no_grad():
        for call in calls(feeds):
            torch.testing.assert_close(made(*call), net(*call), rtol=0, atol=0)
    moved = [
        name for name, value in made.state_dict().items() if name in before and not torch.equal(value, before[name])
    ]
    assert len(moved) >= 2
    assert not any("shared" in name for name in moved)
    after = graph.need_exported("this test").state_dict
    assert all(torch.equal(after[name], value) for name, value in before.items()), "the graph itself stays as it was"


@pytest.mark.parametrize("net", STAYING.values(), ids=STAYING.keys())
def test_scales_move_nowhere_else(net, feeds):
    model = opened(captured(uneven(net), feeds), "this test")
    assert equalised(model, calls(feeds)) is model


def test_a_channel_that_is_always_zero_stays(feeds):
    net = uneven(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)))
    with torch.no_grad():
        net[0].weight[3] = 0
        net[0].bias[3] = -1
        net[2].weight[:, 4] = 0
    made = equalised(opened(captured(net, feeds), "this test"), calls(feeds))
    assert all(bool(value.isfinite().all()) for value in made.state_dict().values())
    with torch.no_grad():
        torch.testing.assert_close(made(*calls(feeds)[0]), net(*calls(feeds)[0]), rtol=0, atol=0)


def test_integers_lose_less_once_channels_are_equalised(feeds):
    net = uneven(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)))
    with torch.no_grad():  # a small channel that counts as much as a large one
        net[2].weight.copy_(torch.randn(8, 8, 3, 3) / torch.logspace(-2, 1, 8).view(1, -1, 1, 1))
    graph = captured(net, feeds)
    plain = opened(graph, "this test")
    better = away(quantised(equalised(plain, calls(feeds)), calls(feeds), "MINMAX"), net, feeds)
    assert better < 0.2 * away(quantised(plain, calls(feeds), "MINMAX"), net, feeds)


def test_the_calibrator_is_the_one_that_measures_best(feeds):
    """Extremes are best where values are spread evenly; where one feed in 40 goes far outside, they waste nearly all
    levels.
    """
    net = uneven(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)))
    model = equalised(opened(captured(net, feeds), "this test"), calls(feeds))
    even = [{"pixels": np.random.default_rng(n).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)} for n in range(40)]
    wild = [dict(feed) for feed in even]
    wild[0] = {"pixels": even[0]["pixels"] * 300}  # not among those that judge
    told: list[str] = []
    first, second = (best_calibrator(model, calls(found), told.append) for found in (even, wild))
    assert first in ("MINMAX", "HISTOGRAM")
    assert second in ("MEAN_QUANTILE", "MEAN_MINMAX", "HISTOGRAM")
    assert all(name in line for line in told for name in CALIBRATORS)
    found = {name: away(quantised(model, calls(wild), name), net, feeds[8:]) for name in CALIBRATORS}
    assert found[second] < 0.5 * found["MINMAX"]


def away(made: nn.Module, net: nn.Module, feeds: list[Arrays]) -> float:
    """How far answers are from those in float32, as a share."""
    with torch.no_grad():
        found, wanted = (torch.cat([one(*call) for call in calls(feeds)]) for one in (made, net))
    return float((found - wanted).norm() / wanted.norm())
