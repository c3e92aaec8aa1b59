"""How far an answer is from its reference, collected over items, per stage and output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..types import Levels, OutputParity, Parity

HALF = 5e-3
"""Least tolerance of a float16 output: its numbers are 5e-4 apart, and a few operations that round so stand before it."""


@dataclass
class _Sum:
    tolerance: float
    levels: Levels | None
    greatest: float = 0.0
    scale: float = 0.0
    signal: float = 0.0
    noise: float = 0.0
    differ: int = 0
    elements: int = 0
    items: int = 0
    broken: str | None = None

    def add(self, reference: np.ndarray, got: np.ndarray) -> None:
        self.items += 1
        if reference.shape != got.shape:
            self.broken = f"shape {list(got.shape)} where the reference has {list(reference.shape)}"
            return
        if reference.dtype == np.float16:
            self.tolerance = max(self.tolerance, HALF)
        a, b = reference.astype(np.float64), got.astype(np.float64)
        with np.errstate(invalid="ignore"):
            gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        if not np.isfinite(gap).all():
            self.broken = "NaN or infinity"
            return
        a = np.where(np.isfinite(a), a, 0.0)
        self.greatest = max(self.greatest, float(gap.max(initial=0.0)))
        self.scale = max(self.scale, float(np.abs(a).max(initial=0.0)))
        self.signal += float((a * a).sum())
        self.noise += float((gap * gap).sum())
        exact = self.levels is None and not np.issubdtype(reference.dtype, np.floating)
        self.differ += int((gap > (0.0 if exact or self.levels is None else self.levels.size / 4)).sum())
        self.elements += gap.size
        if exact and math.isfinite(self.tolerance):
            self.tolerance = 0.0

    def verdict(self, stage: str, output: str) -> OutputParity:
        share = self.differ / max(self.elements, 1)
        relative = share if self.tolerance == 0.0 else self.greatest / self.scale if self.scale else float(self.greatest > 0)
        ok = share <= self.levels.share and self.greatest <= self.levels.size * 1.01 if self.levels else relative <= self.tolerance
        snr = None if self.noise == 0 else 10 * math.log10(max(self.signal, 1e-300) / self.noise)
        return OutputParity(
            stage=stage,
            output=output,
            max_rel=1.0 if self.broken else relative,
            snr_db=snr,
            ok=ok and not self.broken,
            tolerance=self.levels.size / max(self.scale, 1e-30) if self.levels else self.tolerance if math.isfinite(self.tolerance) else None,
            items=self.items,
        )

    def words(self, verdict: OutputParity) -> str:
        if self.broken:
            return self.broken
        if self.levels:
            return f"greatest difference {self.greatest / self.levels.size:.1f} levels, {100 * self.differ / max(self.elements, 1):.3f} % of values differ (allowed: 1 level, {100 * self.levels.share:g} %)"
        return f"max_rel {verdict.max_rel:.1e}, allowed {verdict.tolerance:.0e}"


def key_of(one: OutputParity) -> str:
    """`stage/output`: how least ratios of signal to noise are keyed."""
    return f"{one.stage}/{one.output}"


@dataclass
class Tally:
    """Collects comparisons; `parity` is the verdict with the worst figures first."""

    _sums: dict[tuple[str, str], _Sum] = field(default_factory=dict)

    def add(self, stage: str, output: str, reference: np.ndarray, got: np.ndarray, tolerance: float, levels: Levels | None = None) -> None:
        """Compare one array with its reference: by `levels` where given, integers and booleans exactly, else `max_rel`."""
        self._sums.setdefault((stage, output), _Sum(tolerance, levels)).add(np.asarray(reference), np.asarray(got))

    def parity(self, *, stage: str | None = None, reason: str | None = None, least_db: Mapping[str, float] | None = None) -> Parity:
        """The verdict over everything added.

        Args:
            stage, reason: a failure found otherwise (an answer that differs), told where no output is wrong by itself.
            least_db: `stage/output` -> least ratio of signal to noise, in dB, where arithmetic is the runtime's own.
        """
        outputs = [one.verdict(*key) for key, one in self._sums.items()]
        bad = next((o for o in outputs if not o.ok), None)
        noisy = next((o for o in outputs if o.snr_db is not None and o.snr_db < (least_db or {}).get(key_of(o), -math.inf)), None)
        if bad is not None:
            stage, reason = bad.stage, f"{bad.output}: {self._sums[bad.stage, bad.output].words(bad)}"
        elif noisy is not None:
            stage, reason = noisy.stage, f"{noisy.output}: {noisy.snr_db:.1f} dB from the reference, at least {(least_db or {})[key_of(noisy)]:.1f} dB asked for"
        model = [o for o in outputs if o.stage == "model"] or outputs
        return Parity(
            ok=bad is None and reason is None,
            max_rel=max((o.max_rel for o in model), default=0.0),
            snr_db=min((o.snr_db for o in model if o.snr_db is not None), default=None),
            outputs=tuple(outputs),
            stage=stage,
            reason=reason,
        )
