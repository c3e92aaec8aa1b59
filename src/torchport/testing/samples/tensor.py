"""The sample of `tensor`: two named inputs, two named outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from . import BAD, Sample


class TwoHeads(torch.nn.Module):
    """Scores of `x` float32 [batch, 6], moved by `shift` float32 [batch, 1], and whether each is positive."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(6, 4)

    def forward(self, x: torch.Tensor, shift: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 [batch, 4] and bool [batch, 4]."""
        scores = torch.tanh(self.linear(x) + shift)
        return {"scores": scores, "positive": scores > 0}


def sample(folder: Path) -> Sample:
    """Three rows in one safetensors file."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    data = folder / "rows.safetensors"
    save_file(
        {"x": random.normal(size=(3, 6)).astype(np.float32), "shift": random.normal(size=(3, 1)).astype(np.float32)},
        data,
    )
    return Sample("tensor", TwoHeads().eval(), data, bad=(*BAD, b'{"x": [[1, 2]]}', b'{"x": "text", "shift": [[0]]}'))
