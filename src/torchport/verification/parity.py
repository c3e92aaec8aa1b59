"""How far an answer is from its reference, collected over items, per stage and output."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..figures import decibels, percent, relative
from ..types import Levels, OutputParity, Parity

HALF = 5e-3
"""Least tolerance of a float16 output: its numbers are 5e-4 apart, and a few operations that round so stand before it.
"""


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
    worst: str = ""

    def add(self, reference: np.ndarray, got: np.ndarray, where: str) -> None:
        self.items += 1
        if reference.shape != got.shape:
            self._break(f"shape {list(got.shape)} where the reference has {list(reference.shape)}", where)
            return
        if reference.dtype == np.float16:
            self.tolerance = max(self.tolerance, HALF)
        a, b = reference.astype(np.float64), got.astype(np.float64)
        with np.errstate(invalid="ignore"):
            gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        if not np.isfinite(gap).all():
            self._break(
                "NaN or infinity where the reference has none"
                if np.isfinite(a).all()
                else "NaN or infinity at other places than the reference",
                where,
            )
            return
        a = np.where(np.isfinite(a), a, 0.0)
        greatest = float(gap.max(initial=0.0))
        if greatest > self.greatest:
            self.greatest, self.worst = greatest, where
        self.scale = max(self.scale, float(np.abs(a).max(initial=0.0)))
        self.signal += float((a * a).sum())
        self.noise += float((gap * gap).sum())
        exact = self.levels is None and not np.issubdtype(reference.dtype, np.floating)
        self.differ += int((gap > (0.0 if exact or self.levels is None else self.levels.size / 4)).sum())
        self.elements += gap.size
        if exact and math.isfinite(self.tolerance):
            self.tolerance = 0.0

    def _break(self, how: str, where: str) -> None:
        if self.broken is None:
            self.broken, self.worst = how, where

    def verdict(self, stage: str, output: str) -> OutputParity:
        share = self.differ / max(self.elements, 1)
        relative = (
            share if self.tolerance == 0.0 else self.greatest / self.scale if self.scale else float(self.greatest > 0)
        )
        ok = (
            share <= self.levels.share and self.greatest <= self.levels.size * 1.01
            if self.levels
            else relative <= self.tolerance
        )
        snr = None if self.noise == 0 else 10 * math.log10(max(self.signal, 1e-300) / self.noise)
        return OutputParity(
            stage=stage,
            output=output,
            max_rel=1.0 if self.broken else relative,
            snr_db=snr,
            ok=ok and not self.broken,
            tolerance=self.levels.size / max(self.scale, 1e-30)
            if self.levels
            else self.tolerance
            if math.isfinite(self.tolerance)
            else None,
            items=self.items,
        )

    def words(self, verdict: OutputParity) -> str:
        place = f" {self.worst}" if self.worst else ""
        if self.broken:
            return f"{self.broken}{place}"
        if self.levels:
            share = f"{percent(self.differ / max(self.elements, 1))} of values differ"
            return (
                f"greatest difference {self.greatest / self.levels.size:.1f} levels{place}, {share} (allowed: 1 level, "
                f"{percent(self.levels.share)})"
            )
        return f"max_rel {relative(verdict.max_rel)}{place}, allowed {verdict.tolerance:.0e}"


def snr_db(reference: np.ndarray, got: np.ndarray) -> float:
    """Ratio of signal to noise, in dB, over the finite values; infinite where the two are equal."""
    a, b = reference.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    noise = float(((a - b)[finite] ** 2).sum())
    return math.inf if noise == 0 else 10 * math.log10(max(float((a[finite] ** 2).sum()), 1e-300) / noise)


def key_of(one: OutputParity) -> str:
    """`stage/output`: how least ratios of signal to noise are keyed."""
    return f"{one.stage}/{one.output}"


@dataclass
class Tally:
    """Collects comparisons; `parity` is the verdict with the worst figures first."""

    _sums: dict[tuple[str, str], _Sum] = field(default_factory=dict)

    def add(
        self,
        stage: str,
        output: str,
        reference: np.ndarray,
        got: np.ndarray,
        tolerance: float,
        levels: Levels | None = None,
        where: str = "",
    ) -> None:
        """Compare one array with its reference: by `levels` where given, integers and booleans exactly, else `max_rel`.

        Args:
            where: what was compared, for the message where this is the worst: `on cat.jpg`.
        """
        self._sums.setdefault((stage, output), _Sum(tolerance, levels)).add(
            np.asarray(reference), np.asarray(got), where
        )

    def add_alone(
        self,
        key: tuple[str, str],
        reference: np.ndarray,
        got: np.ndarray,
        tolerance: float,
        *,
        least: float,
        where: str,
        excused: Callable[[], bool] = lambda: False,
    ) -> None:
        """Compare one array by its own greatest value, or by `least` where that is greater, whatever else is compared
        under this name.

        Args:
            key: stage and output.
            least: the scale below which a difference counts as rounding of larger numbers.
            excused: asked where the two are too far apart, whether two right runtimes may be; it is then left out.
        """
        if np.issubdtype(reference.dtype, np.floating) and reference.shape == got.shape:
            scale = (
                max(
                    least,
                    float(
                        np.abs(reference, where=np.isfinite(reference), out=np.zeros(reference.shape)).max(initial=0.0)
                    ),
                )
                or 1.0
            )
            reference, got = reference.astype(np.float64) / scale, got.astype(np.float64) / scale
        one = _Sum(tolerance, None)
        one.add(reference, got, where)
        if not one.verdict(*key).ok and excused():
            return
        self.add(*key, reference, got, tolerance, where=where)

    def parity(
        self, *, stage: str | None = None, reason: str | None = None, least_db: Mapping[str, float] | None = None
    ) -> Parity:
        """The verdict over everything added.

        Args:
            stage, reason: a failure found otherwise (an answer that differs), told where no output is wrong by itself.
            least_db: `stage/output` -> least ratio of signal to noise, in dB, where arithmetic is the runtime's own.
        """
        outputs = [one.verdict(*key) for key, one in self._sums.items()]
        bad = next((o for o in outputs if not o.ok), None)
        noisy = next(
            (o for o in outputs if o.snr_db is not None and o.snr_db < (least_db or {}).get(key_of(o), -math.inf)), None
        )
        if bad is not None:
            stage, reason = bad.stage, f"{bad.output}: {self._sums[bad.stage, bad.output].words(bad)}"
        elif noisy is not None:
            stage, reason = (
                noisy.stage,
                f"{noisy.output}: {decibels(noisy.snr_db or 0.0)} from the reference, at least "
                f"{decibels((least_db or {})[key_of(noisy)])} asked for",
            )
        model = [o for o in outputs if o.stage == "model"] or outputs
        return Parity(
            ok=bad is None and reason is None,
            max_rel=max((o.max_rel for o in model), default=0.0),
            snr_db=min((o.snr_db for o in model if o.snr_db is not None), default=None),
            outputs=tuple(outputs),
            stage=stage,
            reason=reason,
        )
