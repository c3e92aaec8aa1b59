"""Spectra of speech with numpy: short-time Fourier transform, mel bands, and back to a waveform by the fast Griffin-Lim
algorithm.

Griffin, Lim, "Signal estimation from modified short-time Fourier transform", 1984; with the momentum of Perraudin,
Balazs, Søndergaard, "A fast Griffin-Lim algorithm", 2013.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from ..facts import Facts, Mark
from ..kinds import MOST, Count, Share

TINY = 1e-12


class VoiceFacts(Facts, frozen=True, kw_only=True):
    """The spectrogram that a network was trained on, and how its answer becomes a waveform."""

    sample_rate: Annotated[
        int,
        Meta(ge=1000, le=MOST),
        "Samples a second (Hz) that the model was trained on; recordings are resampled to it.",
    ] = 22050
    frame: Annotated[int, Meta(ge=16, le=MOST), "Samples of one Fourier transform: even, and a multiple of hop."] = 1024
    hop: Annotated[Count, "Samples between two Fourier transforms."] = 256
    bands: Annotated[Count, "Bands of the mel scale."] = 80
    lowest: Annotated[float, Meta(ge=0), "Lowest frequency of the bands in Hz, below highest."] = 0.0
    highest: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        "Highest frequency of the bands in Hz, at most half of sample_rate; none: that half.",
    ] = None
    floor: Annotated[float, Meta(gt=0, le=1e3), "Least magnitude of a band before the natural logarithm is taken."] = (
        0.01
    )
    iterations: Annotated[int, Meta(ge=0, le=MOST), "Iterations of the Griffin-Lim algorithm.", Mark.AT_PREDICT] = 32
    momentum: Annotated[Share, "Momentum of the Griffin-Lim algorithm.", Mark.AT_PREDICT] = 0.99
    max_seconds: Annotated[Count, "Longer recordings are refused, in seconds.", Mark.LOWERED] = 60


def hann(size: int) -> np.ndarray:
    """The periodic Hann window, float32 [size]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def mel_filters(facts: VoiceFacts) -> np.ndarray:
    """float32 [bands, frame / 2 + 1]: triangles of height 1, their corners evenly spaced on the mel scale 2595 log10(1
    + f / 700) from `lowest` (0 Hz) to `highest` (half the rate).
    """
    rate, size = facts.sample_rate, facts.frame
    first, last = (2595 * np.log10(1 + edge / 700) for edge in (facts.lowest, facts.highest or rate / 2))
    corners = 700 * (10 ** (np.linspace(first, last, facts.bands + 2) / 2595) - 1)
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    hertz = np.linspace(0, rate / 2, size // 2 + 1)
    made: np.ndarray = np.maximum(0, np.minimum((hertz - low) / (centre - low), (high - hertz) / (high - centre)))
    return made.astype(np.float32)


def padded(samples: np.ndarray, facts: VoiceFacts) -> np.ndarray:
    """float32 [samples] with silence around, so that frames are centred on every hop: [hops, hop], hops = samples //
    hop + frame / hop.
    """
    size, hop = facts.frame, facts.hop
    frames = samples.size // hop + 1
    made = np.zeros((frames - 1) * hop + size, np.float32)
    made[size // 2 : size // 2 + samples.size] = samples[: made.size - size // 2]
    return made.reshape(-1, hop)


def log_mel(samples: np.ndarray, facts: VoiceFacts) -> np.ndarray:
    """The natural logarithm of mel magnitudes, at least `floor`: float32 [1, bands, frames] of padded float32 [hops,
    hop].
    """
    magnitudes = np.abs(np.fft.rfft(_frames(samples.ravel(), facts) * hann(facts.frame), axis=1))
    made: np.ndarray = np.log(np.maximum(mel_filters(facts) @ magnitudes.T, np.float32(facts.floor)))[None]
    return made


def magnitudes(mel: np.ndarray, facts: VoiceFacts) -> np.ndarray:
    """float32 [frames, frame / 2 + 1] whose mel bands come nearest to exp(`mel`), float [bands, frames], among what is
    not negative.
    """
    nearest: np.ndarray = np.maximum(np.exp(mel.T.astype(np.float32)) @ _inverse(facts).T, 0)
    return nearest


@lru_cache(maxsize=8)
def _inverse(facts: VoiceFacts) -> np.ndarray:
    return np.linalg.pinv(mel_filters(facts)).astype(np.float32)


def griffin_lim(magnitudes: np.ndarray, facts: VoiceFacts) -> np.ndarray:
    """A waveform, float32 [(frames - 1) * hop], whose spectrum has about these magnitudes, float32 [frames, frame / 2 +
    1].

    Facts: `frame` and `hop` (a divisor of it) in samples, `iterations`, `momentum` (0: the algorithm of 1984).
    Phases start at zero, so that the answer is the same every time. Arrays are written over where they can be: this
    runs `iterations` times over everything.
    """
    size, hop, window = facts.frame, facts.hop, hann(facts.frame)
    count = len(magnitudes)
    signal = np.zeros((count + size // hop - 1, hop), np.float32)
    scale = 1 / np.maximum(_overlapped(np.broadcast_to(window * window, (count, size)), np.zeros_like(signal)), 1e-8)
    spectrum = magnitudes.astype(np.complex64)
    before, ahead = np.zeros_like(spectrum), np.empty_like(spectrum)
    now: Any = np.empty_like(spectrum)  # numpy's hints know of complex128 only
    frames, gain = np.empty((count, size), np.float32), np.empty(magnitudes.shape, np.float32)
    for _ in range(facts.iterations):
        _synthesised(spectrum, window, scale, frames, signal)
        np.multiply(_frames(signal.ravel(), facts), window, out=frames)
        np.fft.rfft(frames, axis=1, out=now)
        np.subtract(now, before, out=ahead)
        ahead *= np.float32(facts.momentum)
        ahead += now
        before, now = now, before
        np.sqrt(ahead.real**2 + ahead.imag**2, out=gain)
        np.divide(magnitudes, gain + np.float32(TINY), out=gain)
        np.multiply(ahead, gain, out=spectrum)
    _synthesised(spectrum, window, scale, frames, signal)
    whole = signal.ravel()
    return whole[size // 2 : size // 2 + (count - 1) * hop].copy()


def _synthesised(
    spectrum: np.ndarray, window: np.ndarray, scale: np.ndarray, frames: np.ndarray, signal: np.ndarray
) -> None:
    """Overlap-add of a spectrum's windowed frames, by least squares, into `signal`."""
    np.fft.irfft(spectrum, frames.shape[1], axis=1, out=frames)
    np.multiply(frames, window, out=frames)
    _overlapped(frames, signal)
    np.multiply(signal, scale, out=signal)


def _overlapped(frames: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """The sum of frames, each a hop after the one before, into `signal` [hops, hop]."""
    signal[:] = 0
    parts = frames.reshape(len(frames), -1, signal.shape[1])
    for i in range(parts.shape[1]):
        signal[i : i + len(parts)] += parts[:, i]
    return signal


def _frames(samples: np.ndarray, facts: VoiceFacts) -> np.ndarray:
    """A view of float32 [samples] as overlapping [frames, frame]."""
    return np.lib.stride_tricks.sliding_window_view(samples, facts.frame)[:: facts.hop]
