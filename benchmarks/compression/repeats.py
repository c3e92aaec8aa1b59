"""Deploys with compression, again and again, each with a cache of its own, so that all is trained, converted and timed
anew.

    .venv/bin/python benchmarks/compression/repeats.py digits_cnn --runs 5

The scenario's file has a function `deployed(folder, short)`. Asked of every run: no winner is slower than the fastest
fp32 candidate (by latency), larger (by size), or loses more on the test split than the budget's point; and every
artefact of a recipe is the same to the byte in all runs. A winner may differ between runs only inside a tie: as fast,
or as small, as the other within `TIE`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks" / "compression"), str(ROOT / "benchmarks"), str(ROOT / "benchmarks" / "models")]

TIE = 1.05
LOSS = 0.01
"""The budget of the scenarios that can be repeated: one point."""


def one(scenario: str) -> dict[str, Any]:
    """What a single deploy ended with."""
    from points import milliseconds

    with tempfile.TemporaryDirectory() as name:
        made = importlib.import_module(scenario).deployed(Path(name), short=False)
        hashes = {}
        for place in sorted((made.bundle / "variants").iterdir()):
            whole = hashlib.sha256()
            for file in sorted(path for path in place.rglob("*") if path.is_file()):
                whole.update(file.relative_to(place).as_posix().encode() + file.read_bytes())
            hashes[place.name] = whole.hexdigest()
        reference = made.outcome.reference.test_accuracy
        rows = {
            c.id: {
                "ms": milliseconds(c),
                "size": c.size_bytes,
                "sha256": hashes.get(c.id),
                "loss": None if c.test is None or reference is None else reference - c.test.value,
            }
            for c in made.outcome.choice.candidates
            if c.latency_ms
        }
        return {"preferred": dict(made.outcome.choice.preferred), "base": made.base.id, "candidates": rows}


def wrong(runs: list[dict[str, Any]]) -> list[str]:
    """What does not hold, in words."""
    found = []
    for number, run in enumerate(runs, 1):
        rows, base = run["candidates"], run["candidates"][run["base"]]
        fast, small = (rows[run["preferred"][by]] for by in ("latency", "size"))
        if fast["ms"] > base["ms"]:
            found.append(
                f"run {number}: {run['preferred']['latency']} takes {fast['ms']:.3g} ms, {run['base']} "
                f"{base['ms']:.3g} ms"
            )
        if small["size"] > base["size"]:
            found.append(
                f"run {number}: {run['preferred']['size']} has {small['size']} bytes, {run['base']} {base['size']}"
            )
        found += [
            f"run {number}: {name} loses {rows[name]['loss']:.2%}"
            for name in set(run["preferred"].values())
            if (rows[name]["loss"] or 0) > LOSS
        ]
    for name in sorted({name for run in runs for name in run["candidates"]}):
        different = {run["candidates"][name]["sha256"] for run in runs if name in run["candidates"]}
        if len(different) > 1:
            found.append(f"{name}: {len(different)} different files in {len(runs)} runs")
    for by, figure in (("latency", "ms"), ("size", "size")):
        winners = sorted({run["preferred"][by] for run in runs})
        for number, run in enumerate(runs, 1):
            times = [run["candidates"][name][figure] for name in winners if name in run["candidates"]]
            if max(times) > TIE * min(times):
                found.append(
                    f"by {by}, run {number}: {', '.join(winners)} won, and are no tie: "
                    f"{', '.join(f'{value:.4g}' for value in times)}"
                )
    return found


def main() -> int:
    """Run, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        asked.child.write_text(json.dumps(one(asked.scenario)), "utf-8")
        return 0
    from torchport.system import cache

    models = os.environ.get("TORCHPORT_MODELS") or str(
        (cache.folder() or Path(tempfile.gettempdir()) / "torchport") / "models"
    )
    runs = []
    for number in range(1, asked.runs + 1):
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "run.json"
            words = [sys.executable, __file__, asked.scenario, "--child", str(out)]
            subprocess.run(
                words,
                check=True,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "TORCHPORT_CACHE": f"{place}/cache", "TORCHPORT_MODELS": models},
            )
            runs.append(json.loads(out.read_text("utf-8")))
        rows, preferred = runs[-1]["candidates"], runs[-1]["preferred"]
        print(
            f"run {number}: "
            + "; ".join(
                f"by {by} {name}, {rows[name]['ms']:.3g} ms, {rows[name]['size'] / 1e6:.3g} MB, loss "
                f"{rows[name]['loss'] or 0:.2%}"
                for by, name in preferred.items()
            ),
            flush=True,
        )
    short = wrong(runs)
    print(
        "\n".join(f"FAIL  {one}" for one in short)
        or f"ok    {len(runs)} runs: within the budget, and the same to the byte"
    )
    return int(bool(short))


if __name__ == "__main__":
    sys.exit(main())
