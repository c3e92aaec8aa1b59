"""Bars as they are held: printed a line each, kept for the JSON file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from torchport.system import machine


class Ledger:
    """Every bar that was held against a figure, with the machine that the figures were taken on."""

    def __init__(self) -> None:
        self.machine = machine.describe()
        self.load_before = os.getloadavg()[0]
        self.rows: list[dict[str, Any]] = []
        self._where = f"{self.machine.cpu}, {self.machine.usable_cores} cores"

    def at_most(self, what: str, figure: float, bar: float, note: str = "") -> None:
        """Hold `figure <= bar`."""
        self._hold(what, figure, f"<= {bar:g}", figure <= bar, note)

    def at_least(self, what: str, figure: float, bar: float, note: str = "") -> None:
        """Hold `figure >= bar`."""
        self._hold(what, figure, f">= {bar:g}", figure >= bar, note)

    def below(self, what: str, figure: float, bar: float, note: str = "") -> None:
        """Hold `figure < bar`."""
        self._hold(what, figure, f"< {bar:g}", figure < bar, note)

    @property
    def failed(self) -> list[str]:
        """The bars that were not met."""
        return [row["what"] for row in self.rows if not row["ok"]]

    def write(self, path: Path) -> None:
        """Everything as one JSON document; `load` is the number of running processes before and after, over a minute
        each.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {name: getattr(self.machine, name) for name in self.machine.__struct_fields__}
        document = {
            "machine": facts,
            "load": [self.load_before, os.getloadavg()[0]],
            "ok": not self.failed,
            "bars": self.rows,
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def _hold(self, what: str, figure: float, bar: str, ok: bool, note: str) -> None:
        self.rows.append({"what": what, "figure": figure, "bar": bar, "ok": ok, "note": note})
        print(
            f"{'ok  ' if ok else 'FAIL'}  {what}: {figure:.4g} {bar}{f'  ({note})' if note else ''}  [{self._where}]",
            flush=True,
        )
