"""A model as small as can be, for Bundles whose preprocessing is what matters."""

from __future__ import annotations

import torch


class Average(torch.nn.Module):
    """float32 [batch, 3, height, width] -> the three channels' means as scores [batch, 3]."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """The scores."""
        return pixels.mean((2, 3))
