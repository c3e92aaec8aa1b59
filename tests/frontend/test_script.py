"""A TorchScript file keeps the meaning that its operators had when it was written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torchport.frontend.ladder import capture_graph
from torchport.frontend.script import to_archive
from torchport.targets import targets
from torchport.targets.base import ExportOptions


class Gelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(x, approximate="tanh")


class Quotient(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.int64) / 2


class Steps(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linspace(0, 1, 3) + torch.full([3], 2) + torch.logspace(0, 1, 3) + x[:3]


class Ramp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.arange(0.0, 5.0) // 2 + x


def version(file: bytes) -> bytes:
    reader = torch._C.PyTorchFileReader(io.BytesIO(file))
    (name,) = {".data/version", "version"} & set(reader.get_all_records())
    return reader.get_record(name)


@pytest.mark.parametrize("kind", [Gelu, Quotient, Steps, Ramp])
@pytest.mark.parametrize("traced", [False, True], ids=["scripted", "traced"])
def test_operators_whose_meaning_changed_mean_what_they_meant(kind: type[nn.Module], traced: bool) -> None:
    module, x = kind().eval(), torch.tensor([3.0, -1.5, 0.25, 7.0, 5.0])
    made = torch.jit.trace(module, (x,)) if traced else torch.jit.script(module)
    kept = to_archive(made)
    torch.testing.assert_close(torch.jit.load(io.BytesIO(kept))(x), module(x))
    plain = io.BytesIO()
    torch.jit.save(made, plain)
    assert version(kept) == version(plain.getvalue())


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return 2 * grads[0]


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _Doubled.apply(x)


class Same(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv1d(3, 4, 3, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.mark.parametrize("module", [Doubled(), Same()], ids=["autograd function", "padding by a word"])
def test_what_torchscript_trips_over_is_answered(module: nn.Module, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 9)).astype(np.float32)
    graph = capture_graph("model", module.eval(), {"x": x})
    target = targets.get("torchscript")
    made, _ = target.convert(graph, tmp_path, ExportOptions(), None)
    with target.runner(graph.signature, made, tmp_path) as runner:
        answered = runner.run({"x": x})["output_0"]
    np.testing.assert_allclose(answered, module(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6)
