"""Where somebody speaks in a recording, by loudness: silence needs no model, and a pause is where a long recording is
cut.
"""

from __future__ import annotations

import numpy as np

FRAME_S = 0.02
PAUSE_S = 0.3
"""How long the quiet is that a recording is cut in."""

FAINT_DB = 35.0
"""What is this much fainter than the loudest frame is a pause."""


def loudness(samples: np.ndarray, rate: int) -> np.ndarray:
    """Decibels below full scale of every 20 ms, float32 [frames]; -200 where there is nothing. The last frame may be
    shorter.
    """
    size = max(1, round(FRAME_S * rate))
    power = (
        np.add.reduceat(np.square(samples, dtype=np.float32), np.arange(0, len(samples), size)) / size
        if len(samples)
        else np.empty(0, np.float32)
    )
    return (10 * np.log10(np.maximum(power, 1e-20))).astype(np.float32)


def bounds(samples: np.ndarray, rate: int, silence: float) -> tuple[float, float] | None:
    """Seconds from the first to the last frame that is no pause; None where nothing is louder than `silence` (decibels
    below full scale).
    """
    levels = loudness(samples, rate)
    loud = np.flatnonzero(levels > max(silence, float(levels.max(initial=-200)) - FAINT_DB))
    if not len(loud):
        return None
    return float(loud[0]) * FRAME_S, min(float(loud[-1] + 1) * FRAME_S, len(samples) / rate)


def quietest(samples: np.ndarray, rate: int, start: int) -> int:
    """The middle of the quietest 0.3 s from sample `start` on, as a sample's number: where a cut does the least
    harm.
    """
    size = max(1, round(FRAME_S * rate))
    levels = loudness(samples[start:], rate)
    width = min(len(levels), round(PAUSE_S / FRAME_S))
    sums = np.convolve(levels, np.ones(width, np.float32), mode="valid")
    return start + int((int(sums.argmin()) + width / 2) * size)
