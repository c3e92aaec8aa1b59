"""A target that fails on a model says on which operator, and where it stands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from torchport.frontend.blame import line_of_trace
from torchport.frontend.ladder import capture_graph
from torchport.frontend.program import GraphProgram
from torchport.targets import targets
from torchport.verification.culprit import culprit


class Angle(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        turned = torch.fft.rfft(x * 2)
        loud = turned.abs()
        wrapped = torch.angle(turned)  # ONNX Runtime's answer is another at minus pi
        return torch.relu(loud) + wrapped


class Products(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x.abs().cumprod(1)) + 1


class Plain(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) + 1


def captured(make: Callable[[], torch.nn.Module]) -> GraphProgram:
    feed = np.random.default_rng(0).standard_normal((2, 8), dtype=np.float32)
    return capture_graph("model", make().eval(), {"x": feed})


@pytest.mark.parametrize(
    ("make", "operator", "line"),
    [(Angle, "aten.angle.default", "torch.angle(turned)"), (Products, "aten.cumprod.default", ".cumprod(1)")],
)
def test_the_operator_that_a_target_fails_on_is_named_with_its_line(
    make: Callable[[], torch.nn.Module], operator: str, line: str
) -> None:
    found = culprit(targets.get("onnx"), captured(make), "output_0: max_rel 2.0e+00, allowed 1e-04")
    assert found and found.startswith(f"{operator}, at ") and "test_culprit.py" in found and line in found


def test_an_operator_that_the_message_names_is_not_looked_for() -> None:
    found = culprit(targets.get("onnx"), captured(Products), "no form of aten.cumprod.default")
    assert found and found.startswith("aten.cumprod.default, at ")


def test_where_nothing_fails_nothing_is_blamed() -> None:
    assert culprit(targets.get("onnx"), captured(Plain), "crashed") is None


def test_the_user_s_own_line_is_the_last_that_is_no_library_s() -> None:
    trace = (
        '  File "/home/me/net.py", line 7, in forward\n    y = self.gate(x)\n'
        '  File "/opt/lib/python3/site-packages/somelib/gate.py", line 3, in forward\n    return x.sigmoid()\n'
        f'  File "{torch.__file__}", line 1, in inner\n    pass\n'
    )
    assert str(line_of_trace(trace)) == "net.py:7 in forward: y = self.gate(x)"
    assert str(line_of_trace(trace.partition("self.gate(x)\n")[2])) == (
        "somelib/gate.py:3 in forward: return x.sigmoid()"
    )
    assert line_of_trace("") is None
