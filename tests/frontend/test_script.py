"""A TorchScript file keeps the meaning that its operators had when it was written."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor, nn

from torchport.frontend.script import to_archive


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
