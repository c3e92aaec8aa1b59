"""What a deploy with compression chose, as rows: size and latency against the best fp32 candidate of the same run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import ROOT
from rivals import Contest, compare, standing_notes
from row import Row, bootstrap

import torchport
from torchport.deployment.deploy import Outcome
from torchport.types import Candidate

BY = {"fast": "latency", "small": "size"}
"""A point's name, and what it is preferred by."""


@dataclass(frozen=True)
class Deployed:
    """One deploy: its Bundle, what it ended with, and how long it took, in seconds."""

    bundle: Path
    outcome: Outcome
    seconds: float

    @property
    def base(self) -> Candidate:
        """The fastest fp32 candidate that runs where the point does."""
        known = [
            c
            for c in self.outcome.choice.candidates
            if c.recipe == "fp32" and c.status in ("ok", "chosen") and "python" in c.profiles
        ]
        return min(known, key=milliseconds)

    def winner(self, point: str) -> Candidate:
        """What was chosen for a point."""
        return self.candidate(self.outcome.choice.preferred[BY[point]])

    def candidate(self, name: str) -> Candidate:
        """The candidate of that id."""
        return next(c for c in self.outcome.choice.candidates if c.id == name)

    def ratios(self, candidate: Candidate) -> dict[str, float]:
        """`smaller` and `faster` than the base."""
        return {
            "smaller": (self.base.size_bytes or 0) / (candidate.size_bytes or 1),
            "faster": milliseconds(self.base) / milliseconds(candidate),
        }

    def notes(self, candidate: Candidate) -> dict[str, float | str]:
        """The absolute figures behind the ratios, and what else was tried, one note a candidate."""
        found: dict[str, float | str] = {
            "ms": milliseconds(candidate),
            "MB": (candidate.size_bytes or 0) / 1e6,
            "best fp32": self.base.id,
        }
        found |= {"fp32 ms": milliseconds(self.base), "fp32 MB": (self.base.size_bytes or 0) / 1e6}
        return found | {
            c.id: tried(c) for c in self.outcome.choice.candidates if c.id not in (candidate.id, self.base.id)
        }


def deploy(source: Any, folder: str | Path, **options: Any) -> Deployed:
    """A deploy with every variant kept."""
    start = time.perf_counter()
    outcome = torchport.deploy(source, Path(folder) / "x.tport", **{"keep": "all", "golden": 1, **options})
    assert outcome.bundle is not None, "deploy() raises where nothing keeps the budget"
    return Deployed(outcome.bundle, outcome, time.perf_counter() - start)


def on_test_split(model: str, made: Deployed, points: Sequence[str]) -> list[Row]:
    """Rows from what the winners answered on the test split."""
    _front(model, made)
    rows = []
    for point in points:
        winner = made.winner(point)
        assert winner.test is not None and made.outcome.reference.test_accuracy is not None, (
            f"{winner.id} was not tested"
        )
        reference = made.outcome.reference.test_accuracy
        rows.append(
            Row(
                model,
                point,
                winner.target,
                winner.recipe,
                winner.test.metric,
                reference,
                winner.test.value,
                reference - winner.test.value,
                -winner.test.interval[0],
                winner.test_agreement or 0.0,
                winner.test.items,
                **made.ratios(winner),
                test_split=True,
                seconds=round(made.seconds, 1),
                notes=made.notes(winner),
            )
        )
    return rows


def beside_rivals(rows: Sequence[Row], made: Deployed, contest: Contest, folder: Path) -> None:
    """What plain runs of other quantisers show on the same items, into the rows' notes."""
    ours, others = compare(contest, made.bundle, sorted({f"{row.target}-{row.recipe}" for row in rows}), folder)
    for row in rows:
        row.notes.update(standing_notes(ours[f"{row.target}-{row.recipe}"], others))


def _front(model: str, made: Deployed) -> None:
    """The deploy's report, with the picture of its front, beside the rows."""
    place = ROOT / "build" / "compression" / f"{model}.html"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made.bundle / "report.html", place)


def over_test_set(
    model: str,
    made: Deployed,
    point: str,
    winner: Candidate,
    metric: str,
    figures: Callable[[Sequence[int]], tuple[float, float]],
    items: int,
    agreement: float,
    *,
    larger_is_better: bool = True,
) -> Row:
    """A row of a metric that is no mean over items.

    Args:
        figures: item numbers, some more than once -> the metric of fp32 and of the winner over them.
    """
    _front(model, made)
    reference, value = figures(range(items))
    return Row(
        model,
        point,
        winner.target,
        winner.recipe,
        metric,
        reference,
        value,
        reference - value if larger_is_better else value - reference,
        bootstrap(figures, items, larger_is_better=larger_is_better),
        agreement,
        items,
        **made.ratios(winner),
        test_split=True,
        seconds=round(made.seconds, 1),
        notes=made.notes(winner),
    )


def milliseconds(candidate: Candidate) -> float:
    """The median latency."""
    return candidate.latency_ms.median if candidate.latency_ms else float("inf")


def tried(candidate: Candidate) -> str:
    """A candidate in a few words."""
    said = [f"{milliseconds(candidate):.3g} ms"] if candidate.latency_ms else []
    said += [f"{candidate.size_bytes / 1e6:.3g} MB"] if candidate.size_bytes else []
    said += [f"{candidate.accuracy.metric} {candidate.accuracy.value:.4g}"] if candidate.accuracy else []
    return ", ".join([candidate.status, *said, *([candidate.reason] if candidate.reason else [])])
