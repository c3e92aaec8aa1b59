"""The zoo's table: a line a target for people, and a picture of every cell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

COLOURS = {"ok": "#2e9e5b", "failed": "#d1495b", "absent": "#b9bec4"}
ROW, LEFT, WIDE = 14, 230, 84


def lines(cells: Sequence[Mapping[str, Any]]) -> str:
    """The cells as JSON, a line each, so that what a run changed can be read in a diff."""
    return '{"cells": [\n' + ",\n".join(json.dumps(cell, ensure_ascii=False) for cell in cells) + "\n]}\n"


def summary(cells: Sequence[Mapping[str, Any]]) -> str:
    """How many architectures are right on each target, beside the plain exporter."""
    lines = [f"{'target':14} {'ok':>5} {'failed':>7} {'absent':>7} {'plain exporter ok':>19}"]
    for target in _ordered(cells, "target"):
        mine = [cell for cell in cells if cell["target"] == target]
        count = {status: sum(cell["status"] == status for cell in mine) for status in COLOURS}
        plain = sum(cell.get("plain") == "ok" for cell in mine)
        lines.append(f"{target:14} {count['ok']:5} {count['failed']:7} {count['absent']:7} {plain:19}")
    below = [c for c in cells if c.get("plain") == "ok" and c["status"] == "failed"]
    lines += [f"below the plain exporter: {c['model']} on {c['target']}" for c in below]
    return "\n".join(lines)


def draw(cells: Sequence[Mapping[str, Any]]) -> str:
    """An SVG: a row an architecture, a column a target; the small square is the plain exporter's, the tooltip says
    why.
    """
    targets, models = _ordered(cells, "target"), _ordered(cells, "model")
    found = {(cell["model"], cell["target"]): cell for cell in cells}
    width, height = LEFT + WIDE * len(targets) + 10, ROW * (len(models) + 2) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="10"><rect width="{width}" height="{height}" fill="#ffffff"/>'
    ]
    parts += [f'<text x="{LEFT + WIDE * x + 2}" y="{ROW}">{escape(target)}</text>' for x, target in enumerate(targets)]
    for y, model in enumerate(models):
        top = ROW * (y + 2) - 8
        parts.append(f'<text x="4" y="{top + 9}">{escape(model)}</text>')
        for x, target in enumerate(targets):
            cell = found.get((model, target))
            if cell is None:
                continue
            left = LEFT + WIDE * x
            plain = str(cell.get("plain") or "not tried")
            beside = COLOURS["ok" if plain == "ok" else "absent" if plain == "not tried" else "failed"]
            said = f"{model} on {target}: {cell['status']}. {cell['diagnosis']} Plain exporter: {plain}"
            parts.append(
                f'<g><title>{escape(said)}</title><rect x="{left}" y="{top}" width="{WIDE - 24}" height="{ROW - 3}" '
                f'fill="{COLOURS[cell["status"]]}"/><rect x="{left + WIDE - 22}" y="{top}" width="14" '
                f'height="{ROW - 3}" fill="{beside}"/></g>'
            )
    return "".join([*parts, "</svg>\n"])


def _ordered(cells: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(cell[key] for cell in cells))
