"""How loud a waveform is, tenth by tenth of a second: what a result shows of it, and what two results are compared
by.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FLOOR = -100.0
_AUDIBLE, _TOLERANCE = -50.0, 1.0


def decibels(waveform: np.ndarray, rate: float) -> list[float]:
    """Root mean square of each tenth of a second of float [samples], in dB of full scale, at least FLOOR."""
    size = max(round(rate / 10), 1)
    padded = np.zeros(-(-waveform.size // size) * size, np.float64)
    padded[: waveform.size] = waveform
    power = (padded.reshape(-1, size) ** 2).mean(axis=1)
    return [round(float(one), 2) for one in 10 * np.log10(np.maximum(power, 10 ** (FLOOR / 10)))]


def alike(levels: Sequence[float], reference: Sequence[float]) -> bool:
    """Whether two waveforms are as loud within 1 dB wherever one of them is louder than -50 dB."""
    if len(levels) != len(reference):
        return False
    got, wanted = (np.maximum(np.asarray(one, np.float64), _AUDIBLE) for one in (levels, reference))
    return bool((np.abs(got - wanted) <= _TOLERANCE).all())
