"""Error against depth: how far each layer is from the reference, as a page by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP = 760.0, 300.0, 60.0, 16.0
_LEAST = 1e-8

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark; --line: #2563eb; --mark: #dc2626; --grid: #8884; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 800px; margin: 2rem auto; padding: 0 1rem; }}
svg {{ width: 100%; height: auto; }} text {{ font-size: 12px; fill: currentColor; }}
td, th {{ text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top; }} code {{ overflow-wrap: anywhere; }}
</style></head><body><h1>{title}</h1><p>{said}</p>{svg}<table>{rows}</table></body></html>
"""


def page(title: str, said: str, depth: Sequence[tuple[int, float]], mark: int | None, facts: dict[str, str]) -> str:
    """The page.

    Args:
        depth: (number of the layer, its distance from the reference).
        mark: number of the layer that was named.
        facts: what the table below the plot says.
    """
    rows = "".join(f"<tr><th>{escape(k)}</th><td><code>{escape(v)}</code></td></tr>" for k, v in facts.items())
    return _PAGE.format(title=escape(title), said=escape(said), svg=_plot(depth, mark), rows=rows)


def _plot(depth: Sequence[tuple[int, float]], mark: int | None) -> str:
    if not depth:
        return ""
    last = max(max(number for number, _ in depth), 1)
    top = math.ceil(max(math.log10(max(far, _LEAST)) for _, far in depth))
    low = math.log10(_LEAST)

    def x(number: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - 10) * number / last

    def y(far: float) -> float:
        return _TOP + (_HEIGHT - _TOP - 40) * (top - math.log10(max(far, _LEAST))) / max(top - low, 1)

    drawn = []
    for power in range(int(low), top + 1, 2 if top - low > 6 else 1):
        at = y(10.0**power)
        drawn.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{at:.1f}" y2="{at:.1f}" stroke="var(--grid)"/>')
        drawn.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">1e{power}</text>')
    points = " ".join(f"{x(number):.1f},{y(far):.1f}" for number, far in depth)
    drawn.append(f'<polyline points="{points}" fill="none" stroke="var(--line)" stroke-width="1.5"/>')
    for number, far in depth:
        here = number == mark
        colour = "var(--mark)" if here else "var(--line)"
        drawn.append(f'<circle cx="{x(number):.1f}" cy="{y(far):.1f}" r="{5 if here else 2}" fill="{colour}"/>')
    middle = (_LEFT + _WIDTH) / 2
    drawn.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">layer, in order of computation</text>')
    title = "<title>distance from the reference against depth</title>"
    return f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img">{title}{"".join(drawn)}</svg>'
