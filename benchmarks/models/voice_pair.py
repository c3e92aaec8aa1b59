"""Speech of one espeak-ng voice made speech of another: a small network from log-mel to log-mel, trained here once on
both voices saying the same sentences.

`torchport deploy benchmarks/models/voice_pair.py:factory --task voice-conversion --data FOLDER`, where `data(FOLDER)`
writes sentences that the network has not heard. No package carries weights of voice conversion; espeak-ng speaks as
much parallel speech as one wants. Its two voices do not keep quite the same time, so that their frames are aligned
first, by dynamic time warping.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import piper_joe
import torch
from cached import cached, quick
from torch.nn import functional

SOURCE, TARGET = "en-us", "en-us+f3"
"""A man's voice and a woman's."""

RATE, FRAME, HOP, BANDS, FLOOR = 22050, 1024, 256, 80, 0.01
TRAINING, STEPS, BATCH, LENGTH = 200, 900, 8, 128
QUICK = 8, 80
"""Sentences and steps of a quick run."""

ITERATIONS, MOMENTUM = 32, 0.99


class Converter(torch.nn.Module):
    """float [batch, BANDS, frames] -> the same: gated dilated convolutions that say what to add."""

    def __init__(self, channels: int = 128, dilations: Sequence[int] = (1, 2, 4, 8, 1, 2, 4, 8)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(BANDS, 1))
        self.register_buffer("deviation", torch.ones(BANDS, 1))
        self.first = torch.nn.Conv1d(BANDS, channels, 5, padding=2)
        self.gates = torch.nn.ModuleList(
            torch.nn.Conv1d(channels, 2 * channels, 3, padding=d, dilation=d) for d in dilations
        )
        self.mixes = torch.nn.ModuleList(torch.nn.Conv1d(channels, channels, 1) for _ in dilations)
        self.last = torch.nn.Conv1d(channels, BANDS, 1)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """See the class."""
        normal = (mel - self.mean) / self.deviation
        hidden = self.first(normal)
        for gate, mix in zip(self.gates, self.mixes, strict=True):
            signal, opening = gate(hidden).chunk(2, dim=1)
            hidden = hidden + mix(torch.tanh(signal) * torch.sigmoid(opening))
        answer: torch.Tensor = (normal + self.last(torch.relu(hidden))) * self.deviation + self.mean
        return answer


def factory() -> torch.nn.Module:
    """The trained network in eval mode; it is trained where the cache does not have it, in some two minutes on one
    core.

    Raises:
        FileNotFoundError: espeak-ng is not installed, and the network is not in the cache.
    """
    from safetensors.torch import load_file

    model = Converter()
    kept = cached(_train, Path(piper_joe.__file__), key=["voice-pair", str(quick())])
    model.load_state_dict(load_file(kept / "model.safetensors"))
    return model.eval()


def sentences(count: int = 20) -> list[str]:
    """Sentences that the network has not heard."""
    return piper_joe.sentences(TRAINING + 50)[TRAINING:][:count]


def data(where: Path, count: int = 20) -> Path:
    """Those sentences in the first voice, as `NN.wav` in the folder `where`, which is made."""
    where.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(sentences(count)):
        (where / f"{number:02}.wav").write_bytes(spoken(text, SOURCE))
    return where


def spoken(text: str, voice: str) -> bytes:
    """A text by espeak-ng as a WAV file.

    Raises:
        FileNotFoundError: espeak-ng is not installed.
    """
    if shutil.which("espeak-ng") is None:
        raise FileNotFoundError("espeak-ng is not installed: scripts/system-packages installs it")
    raw = subprocess.run(
        ["espeak-ng", "-v", voice, "-b", "1", "--stdin", "--stdout"],
        input=text.encode(),
        capture_output=True,
        check=True,
    ).stdout
    out = io.BytesIO()
    with wave.open(out, "wb") as file:  # what it writes to a pipe tells no length
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(raw[44:])
    return out.getvalue()


def samples_of(recording: bytes) -> np.ndarray:
    """float32 [samples] of a WAV file of 16 bits."""
    with wave.open(io.BytesIO(recording)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def log_mel(samples: np.ndarray) -> torch.Tensor:
    """float32 [1, BANDS, frames]: what the network takes, by plain PyTorch."""
    spectrum = torch.stft(
        torch.from_numpy(samples), FRAME, HOP, window=torch.hann_window(FRAME), pad_mode="constant", return_complex=True
    )
    return (_filters() @ spectrum.abs()).clamp(min=FLOOR).log()[None]


def eager(model: Any, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What plain PyTorch makes of float32 [samples]: the converted mel [BANDS, frames], and the waveform that Griffin
    and Lim's algorithm finds for it.
    """
    with torch.no_grad():
        mel = model(log_mel(samples))[0]
        target = (torch.linalg.pinv(_filters()) @ mel.exp()).clamp(min=0)[None]
        return mel.numpy(), _griffin_lim(target).numpy()


def distance(mel: np.ndarray, other: np.ndarray) -> float:
    """How far two log-mel spectrograms [BANDS, frames] are apart, aligned: mean absolute difference in dB."""
    path = align(mel, other)
    return float(np.abs(mel - other[:, path]).mean() * 20 / np.log(10))


def align(mel: np.ndarray, other: np.ndarray, band: int = 24) -> np.ndarray:
    """For each frame of `mel` the frame of `other` that goes with it: int64 [frames], never going back.

    Dynamic time warping (Sakoe, Chiba, 1978) on the coarse shape of the spectra, within `band` frames of the straight
    line.
    """
    a, b = _shape(mel), _shape(other)
    n, m = len(a), len(b)
    cost = np.abs(a[:, None] - b[None]).mean(2)
    off = np.abs(np.arange(m)[None] - np.arange(n)[:, None] * m / n)
    cost[off > band] = np.inf
    total = np.full((n + 1, m + 1), np.inf)
    total[0, 0] = 0
    for k in range(2, n + m + 1):  # along the anti-diagonals, whose cells depend on earlier ones only
        i = np.arange(max(1, k - m), min(n, k - 1) + 1)
        j = k - i
        total[i, j] = cost[i - 1, j - 1] + np.minimum(total[i - 1, j - 1], np.minimum(total[i - 1, j], total[i, j - 1]))
    path, i, j = np.zeros(n, np.int64), n, m
    while i > 0:
        path[i - 1] = j - 1
        step = int(np.argmin((total[i - 1, j - 1], total[i - 1, j], total[i, j - 1])))
        i, j = (i - 1, j - 1) if step == 0 else (i - 1, j) if step == 1 else (i, j - 1)
    return path


def _shape(mel: np.ndarray, kept: int = 16) -> np.ndarray:
    """float [frames, kept]: mean levels of groups of bands, each without its mean over time, so that the voice counts
    less than the words.
    """
    coarse = mel.reshape(kept, -1, mel.shape[1]).mean(1)
    return (coarse - coarse.mean(1, keepdims=True)).T


def _filters() -> torch.Tensor:
    """float32 [BANDS, FRAME / 2 + 1]: triangles of height 1 on the mel scale 2595 log10(1 + f / 700)."""
    corners = 700 * (
        10 ** (torch.linspace(0, float(2595 * np.log10(1 + RATE / 1400)), BANDS + 2, dtype=torch.float64) / 2595) - 1
    )
    hertz = torch.linspace(0, RATE / 2, FRAME // 2 + 1, dtype=torch.float64)
    rise = (hertz - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - hertz) / (corners[2:] - corners[1:-1])[:, None]
    return torch.minimum(rise, fall).clamp(min=0).float()


def _griffin_lim(magnitudes: torch.Tensor) -> torch.Tensor:
    """float32 [samples] of magnitudes [1, FRAME / 2 + 1, frames]; phases start at zero."""
    window = torch.hann_window(FRAME)
    spectrum, before = magnitudes.to(torch.complex64), torch.zeros_like(magnitudes, dtype=torch.complex64)
    for _ in range(ITERATIONS):
        now = torch.stft(
            torch.istft(spectrum, FRAME, HOP, window=window),
            FRAME,
            HOP,
            window=window,
            pad_mode="constant",
            return_complex=True,
        )
        ahead, before = now + MOMENTUM * (now - before), now
        spectrum = magnitudes * ahead / (ahead.abs() + 1e-12)
    return torch.istft(spectrum, FRAME, HOP, window=window)[0]


def _train(where: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    pairs = []
    training, steps = QUICK if quick() else (TRAINING, STEPS)
    for text in piper_joe.sentences(TRAINING + 50)[:training]:
        first, second = (log_mel(samples_of(spoken(text, voice)))[0].numpy() for voice in (SOURCE, TARGET))
        pairs.append(torch.from_numpy(np.stack([first, second[:, align(first, second)]])))
    model = Converter()
    everything = torch.cat([pair[0] for pair in pairs], dim=1)
    model.mean.copy_(everything.mean(1, keepdim=True))
    model.deviation.copy_(everything.std(1, keepdim=True))
    chosen = np.random.default_rng(0)
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    for _ in range(steps):
        batch = torch.stack([_crop(pairs[i], chosen) for i in chosen.integers(len(pairs), size=BATCH)])
        loss = functional.l1_loss(model(batch[:, 0]), batch[:, 1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    save_file(model.eval().state_dict(), where / "model.safetensors")


def _crop(pair: torch.Tensor, chosen: np.random.Generator) -> torch.Tensor:
    start = int(chosen.integers(max(pair.shape[2] - LENGTH, 1)))
    return functional.pad(
        pair[:, :, start : start + LENGTH], (0, max(LENGTH - pair.shape[2], 0)), value=float(np.log(FLOOR))
    )
