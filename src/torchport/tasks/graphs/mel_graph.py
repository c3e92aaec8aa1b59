"""The log-mel front end of `spectra.log_mel` as a torch module: the Fourier transform is a matrix multiplication, so
that every target has it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ..shared import spectra
from ..shared.spectra import VoiceFacts


class LogMagnitudes(torch.nn.Module):
    """float32 `samples` [hops, hop], padded as `spectra.padded` does -> `mel` float32 [1, bands, frames], frames = hops
    - frame / hop + 1.
    """

    kernel: torch.Tensor
    filters: torch.Tensor

    def __init__(self, facts: VoiceFacts) -> None:
        super().__init__()
        self.floor, size = facts.floor, facts.frame
        self.parts = size // facts.hop
        turns = 2 * np.pi * (np.outer(np.arange(size // 2 + 1), np.arange(size)) % size) / size
        waves = np.concatenate([np.cos(turns), np.sin(turns)]) * spectra.hann(size)
        self.register_buffer("kernel", torch.from_numpy(waves.T.astype(np.float32)))
        self.register_buffer("filters", torch.from_numpy(spectra.mel_filters(facts)))

    def forward(self, samples: torch.Tensor) -> dict[str, torch.Tensor]:
        """See the class."""
        count = samples.shape[0] - self.parts + 1
        frames = torch.cat([samples[i : i + count] for i in range(self.parts)], dim=1)
        real, imaginary = (frames @ self.kernel).square().chunk(2, dim=1)
        return {
            "mel": (self.filters @ (real + imaginary).sqrt().transpose(0, 1)).clamp(min=self.floor).log().unsqueeze(0)
        }


class Converter(torch.nn.Module):
    """The user's network under fixed names: `mel` float32 [1, bands, frames] -> `converted`, of the same shape."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, mel: torch.Tensor) -> dict[str, torch.Tensor]:
        """See the class; of several outputs the first counts."""
        answer = self.network(mel)
        if isinstance(answer, Mapping):
            answer = next(iter(answer.values()))
        return {"converted": answer[0] if isinstance(answer, tuple | list) else answer}
