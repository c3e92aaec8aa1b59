"""Measure every scenario: the deployed Bundle against the eager model, item by item. See README.md beside this file."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from bars import judge, tasks
from harness import Benchmark, main
from row import Row


def line(row: Row) -> str:
    """A row's figures."""
    figures = (
        f"{row.metric} {row.eager:.4g} -> {row.deployed:.4g}, {row.identical}/{row.items} identical, {row.speedup:.2f} "
        f"x eager, {' '.join(row.targets)}"
    )
    return f"{row.task}, {row.model} on {row.data}: {figures}"


if __name__ == "__main__":
    sys.exit(
        main(
            Benchmark(
                Path(__file__).resolve().parent,
                __doc__,
                Row,
                lambda row, timed: judge(row, timed=timed),
                line,
                lambda rows: tasks() - {row.task for row in rows},
            )
        )
    )
