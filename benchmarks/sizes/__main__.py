"""Small modules with free axes and masks on every target: `python benchmarks/sizes [MODULE...]`; see the README beside
this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from masked_modules import MASKED
from small_modules import MODULES
from sweep import TARGETS, sweep

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the named modules; the exit code is 0 where nothing is wrong."""
    known = {**MODULES, **{f"masked_{name}": one for name, one in MASKED.items()}}
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/sizes")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(known)}; all if none is named")
    parser.add_argument("--targets", default=",".join(TARGETS), help="comma-separated")
    parser.add_argument("--json", type=Path, default=ROOT / "build/sizes.json", help="where to write what was found")
    given = parser.parse_args()
    found = []
    for name in given.modules or known:
        for one in sweep(name, known[name], given.targets.split(",")):
            found.append(one)
            print(f"{one.verdict:8} {one.module:24} {one.target:12} {one.why}", flush=True)
    given.json.parent.mkdir(exist_ok=True)
    given.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", encoding="utf-8")
    counts = Counter(one.verdict for one in found)
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
