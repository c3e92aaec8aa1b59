"""The log-mel front end of Whisper as a torch module: the short-time Fourier transform is a convolution, so that every
target has it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ..shared.hearing_facts import HearingFacts


class LogMel(torch.nn.Module):
    """float32 samples [1, n] -> `features` float32 [1, bands, n // hop], as `transformers.WhisperFeatureExtractor`
    makes them of n samples.

    Power spectrum under a periodic Hann window, centred frames with reflected edges, Slaney's mel filters of unit area,
    log10 cut 80 dB below the loudest value, then (x + 4) / 4. n is greater than half a frame.

    Facts: `sampling_rate` (Hz), `bands`, `frame` and `hop` (samples).
    """

    kernel: torch.Tensor
    filters: torch.Tensor

    def __init__(self, facts: HearingFacts) -> None:
        super().__init__()
        self.frame, self.hop = facts.frame, facts.hop
        self.register_buffer("kernel", torch.from_numpy(_fourier(self.frame)))
        self.register_buffer("filters", torch.from_numpy(mel_filters(facts.bands, self.frame, facts.sampling_rate)))

    def forward(self, samples: torch.Tensor) -> dict[str, torch.Tensor]:
        """See the class."""
        half = self.frame // 2
        waves = functional.conv1d(
            functional.pad(samples[:, None], (half, half), mode="reflect"), self.kernel, stride=self.hop
        )[:, :, :-1]
        real, imaginary = waves.square().chunk(2, dim=1)
        loudness = (self.filters @ (real + imaginary)).clamp(min=1e-10).log10()
        return {"features": (torch.maximum(loudness, loudness.amax(dim=(1, 2), keepdim=True) - 8) + 4) / 4}


def _fourier(frame: int) -> np.ndarray:
    """float32 [frame + 2, 1, frame]: the windowed cosines, then the windowed sines, of the frequencies 0..frame / 2."""
    at = np.arange(frame)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * at / frame)
    turns = 2 * np.pi * (np.outer(np.arange(frame // 2 + 1), at) % frame) / frame
    return np.concatenate([np.cos(turns) * window, -np.sin(turns) * window])[:, None].astype(np.float32)


def mel_filters(bands: int, frame: int, rate: int) -> np.ndarray:
    """float32 [bands, frame // 2 + 1]: triangles of unit area whose corners are evenly spaced in mel, from 0 Hz to rate
    / 2.

    The scale is that of Slaney's Auditory Toolbox (1998): linear up to 1 kHz (15 mel), then 27 mel to a factor of 6.4.
    """
    top = 15 + 27 * np.log(rate / 2 / 1000) / np.log(6.4)
    mel = np.linspace(0, top, bands + 2)
    corners = np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((np.maximum(mel, 15) - 15) / 27))
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    hertz = np.linspace(0, rate / 2, frame // 2 + 1)
    rise, fall = (hertz - low) / (centre - low), (high - hertz) / (high - centre)
    filters: np.ndarray = np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low)
    return filters.astype(np.float32)
