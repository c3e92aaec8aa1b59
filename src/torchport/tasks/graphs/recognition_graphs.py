"""The graphs after a model that recognises: `Unit` for an embedding, `Frames` for text (needs torch)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Unit(nn.Module):
    """float32 [batch, size] -> {"embedding": float32 [batch, size]}, each row of length 1."""

    def forward(self, output: Tensor) -> dict[str, Tensor]:
        """Rows divided by their length; a row of zeros stays one."""
        return {"embedding": output / (output * output).sum(1, keepdim=True).sqrt().clamp(min=1e-12)}


class Frames(nn.Module):
    """Logits float32 [batch, time, classes] -> {"probabilities": float32 [batch, time, classes]}."""

    def forward(self, output: Tensor) -> dict[str, Tensor]:
        """A softmax over the classes of each frame."""
        return {"probabilities": torch.softmax(output, dim=2)}
