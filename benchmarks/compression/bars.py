"""What every point must show: the most that it may lose, and how much smaller or faster it must be."""

from __future__ import annotations

from dataclasses import dataclass

from row import Row


@dataclass(frozen=True)
class Bar:
    """What one point is held to.

    Attributes:
        loss: most that the upper end of the loss's interval may be, in the metric's own unit.
        smaller, faster: least ratios to the best fp32 candidate.
        agreement: least share of items answered as the fp32 model does.
        relative: most that the loss may be, as a share of the reference.
    """

    loss: float
    smaller: float = 0.0
    faster: float = 0.0
    agreement: float = 0.0
    relative: float = float("inf")


BARS = {
    ("efficientnet-lite0", "small"): Bar(0.02, smaller=8, agreement=0.97),
    ("efficientnet-lite0", "fast"): Bar(0.02, faster=2, agreement=0.97),
    ("minilm", "fast"): Bar(0.01, faster=2),
    ("minilm", "small"): Bar(0.02, smaller=7),
    ("whisper-tiny-en", "fast"): Bar(0.025, faster=1.5),
    ("marian-enpt", "small"): Bar(1.0, smaller=2),
    ("digits-cnn", "small"): Bar(0.01, smaller=20),
    ("gpt2-bbc", "int8"): Bar(1.2, smaller=1.5, relative=0.01),
}


def judge(row: Row, *, timed: bool) -> list[str]:
    """What the row falls short of, in words; nothing where it holds. A point without a bar is only reported.

    Args:
        timed: whether the figures count; a handful of items, and what is trained for a minute, say little about them.
    """
    bar = BARS.get((row.model, row.point))
    if bar is None:
        return []
    short = [] if row.test_split else ["not on a test split"]
    if not timed:
        return short
    if not row.smaller >= bar.smaller:
        short.append(f"{row.smaller:.2f} x smaller, at least {bar.smaller:g}")
    if not row.loss_upper <= bar.loss:
        short.append(f"loss up to {row.loss_upper:.4g}, at most {bar.loss:g}")
    if not row.loss <= bar.relative * row.reference:
        short.append(f"loss of {row.loss / row.reference:.2%}, at most {bar.relative:.0%}")
    if not row.faster >= bar.faster:
        short.append(f"{row.faster:.2f} x faster, at least {bar.faster:g}")
    if not row.agreement >= bar.agreement:
        short.append(f"{row.agreement:.1%} answered as before, at least {bar.agreement:.0%}")
    if "dominated by" in row.notes:
        short.append(f"no better in accuracy, latency or size than a plain run of {row.notes['dominated by']}")
    return short
