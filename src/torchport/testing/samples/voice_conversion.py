"""A network of one convolution from log-mel to log-mel, and two recordings of gliding tones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ...tasks.shared.audio import encode_wav
from . import Sample

RATE, BANDS = 8000, 20


class Shift(torch.nn.Module):
    """float [1, BANDS, frames] -> the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(BANDS, BANDS, 3, padding=1)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """See the class."""
        made: torch.Tensor = mel + 0.3 * self.conv(mel)
        return made


def sample(folder: Path) -> Sample:
    """See the module."""
    torch.manual_seed(0)
    data = folder / "recordings"
    data.mkdir()
    for seconds in (0.7, 1.1):
        time = np.arange(round(seconds * RATE)) / RATE
        tone = 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time) * np.hanning(time.size)
        (data / f"{seconds}.wav").write_bytes(encode_wav(tone, RATE))
    settings = {"sample_rate": str(RATE), "frame": "256", "hop": "64", "bands": str(BANDS), "iterations": "8"}
    return Sample("voice-conversion", Shift().eval(), data, settings)
