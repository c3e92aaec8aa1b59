"""Compress every model inside its accuracy budget, and hold each point against the best fp32 candidate. See README.md
beside this file.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from bars import BARS, judge
from harness import Benchmark, main
from row import Row


def line(row: Row) -> str:
    """A row's figures."""
    lost = (
        f"{row.metric} {row.reference:.4g} -> {row.value:.4g} on {row.items} items (loss up to {row.loss_upper:.4g}), "
        f"{row.agreement:.1%} answered as before"
    )
    return (
        f"{row.model}, {row.point}: {row.target}-{row.recipe}, {row.smaller:.2f} x smaller, {row.faster:.2f} x faster, "
        f"{lost}, {row.seconds:.0f} s"
    )


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    bars = Benchmark(
        here,
        __doc__,
        Row,
        lambda row, timed: judge(row, timed=timed),
        line,
        lambda rows: {" ".join(point) for point in BARS.keys() - {(row.model, row.point) for row in rows}},
    )
    sys.exit(main(bars))
