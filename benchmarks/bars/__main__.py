"""Hold every bar against its figure: `python benchmarks/bars [GROUP...]`; see the README beside this file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import answers
import costs
import resizing
from ledger import Ledger
from running import ROOT

GROUPS = {
    "answers": answers.hold,
    "resizing": resizing.hold,
    "memory": costs.memory,
    "winner": costs.winner,
    "startup": costs.startup,
    "base": costs.base,
    "demo": costs.demo,
}
USUAL = [name for name in GROUPS if name != "demo"]


def main() -> int:
    """Run the named groups; the exit code is 0 where every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/bars")
    parser.add_argument(
        "groups",
        nargs="*",
        choices=[*GROUPS, []],
        metavar="GROUP",
        help=f"of {', '.join(GROUPS)}; all but demo if none is named",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=ROOT / "build/demo/efficientnet-lite0.tport",
        help="the demo's Bundle, with every variant kept",
    )
    parser.add_argument("--json", type=Path, default=ROOT / "build/bars.json", help="where to write the figures")
    wanted = parser.parse_args()
    ledger, work = Ledger(), ROOT / "build/bars"
    for name in wanted.groups or USUAL:
        GROUPS[name](ledger, wanted.bundle.resolve(), work)
    ledger.write(wanted.json)
    print(f"{len(ledger.rows) - len(ledger.failed)} of {len(ledger.rows)} bars met")
    return 1 if ledger.failed else 0


if __name__ == "__main__":
    sys.exit(main())
