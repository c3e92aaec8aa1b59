"""What makes scores of logits, as a graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Activate(nn.Module):
    """float32 [batch, classes] logits -> {"scores": float32 [batch, classes]}, by `softmax` or `sigmoid`."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.softmax = activation == "softmax"

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        """The scores of a batch."""
        return {"scores": torch.softmax(logits, dim=1) if self.softmax else torch.sigmoid(logits)}
