"""Architectures that nobody here wrote, on every target: `python benchmarks/zoo [MODEL...]`; see the README beside this
file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from architecture import PACKAGES  # noqa: E402 - these lie beside this file
from table import draw, summary  # noqa: E402
from zoo import SLICE, ZOO  # noqa: E402

ROOT = HERE.parents[1]
KEPT = ROOT / "build/zoo/cells"
TARGETS = ("onnx", "torchscript", "pt2", "openvino", "executorch", "mobile")
A_CHILD, A_MODEL_S = 6, 900.0
"""How many architectures one process takes, so that its imports are paid once, and how long one may take."""


def kept(name: str) -> dict[str, Any]:
    """What was found before, by target."""
    path = KEPT / f"{name}.json"
    return {cell["target"]: cell for cell in json.loads(path.read_bytes())} if path.is_file() else {}


def keep(name: str, cells: Sequence[dict[str, Any]]) -> None:
    """Write what was found, beside what was found on other targets."""
    KEPT.mkdir(parents=True, exist_ok=True)
    known = {**kept(name), **{cell["target"]: cell for cell in cells}}
    scratch = KEPT / f".{name}.json"
    scratch.write_text(json.dumps(list(known.values()), indent=1) + "\n", encoding="utf-8")
    scratch.replace(KEPT / f"{name}.json")


def child(names: Sequence[str], wanted: Sequence[str]) -> None:
    """Take some architectures, one after the other, keeping each as it is done."""
    import warnings

    from cells import cells

    warnings.simplefilter("ignore")
    for name in names:
        print(name, flush=True)
        keep(name, [asdict(cell) for cell in cells(name, ZOO[name], wanted)])


def run(names: Sequence[str], wanted: Sequence[str]) -> None:
    """Several architectures in a process; one that ends it costs its own cells only."""
    left = list(names)
    while left:
        group = left[:A_CHILD]
        begun = dict.fromkeys(group, 0.0)
        process = subprocess.Popen(
            [sys.executable, HERE, "--child", ",".join(wanted), *group],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout
        now, why = group[0], ""
        for line in process.stdout:
            now = line.strip() if line.strip() in begun else now
            begun[now] = begun[now] or time.monotonic()
        code = process.wait()
        done = [name for name in group if _is_done(name, wanted)]
        if code:
            why = f"the process that made it ended with exit code {code}"
            lost = {"status": "failed", "stage": "capture", "diagnosis": why}
            keep(now, [{"model": now, "family": ZOO[now].family, "target": target, **lost} for target in wanted])
            done.append(now)
        for name in done:
            _say(name)
        left = [name for name in left if name not in done]


def _is_done(name: str, wanted: Sequence[str]) -> bool:
    return set(wanted) <= kept(name).keys()


def _say(name: str) -> None:
    for cell in kept(name).values():
        said = cell["diagnosis"] or (f"{cell['max_rel']:.1e}" if cell.get("max_rel") is not None else "")
        print(
            f"{cell['status']:7} {name:32} {cell['target']:12} plain {cell.get('plain', '')[:24]:24} {said[:150]}",
            flush=True,
        )


def main() -> int:
    """Take the named architectures, or all; the exit code is 0 where every cell that is not ok says why."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/zoo")
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="all if none is named; `slice` is what the tests take"
    )
    parser.add_argument("--targets", default=",".join(TARGETS), help="comma-separated")
    parser.add_argument("--fresh", action="store_true", help="take anew what was found before")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.models, given.child.split(","))
        return 0
    if not PACKAGES.is_dir():
        print(f"{PACKAGES} is missing: `make zoo` installs it", file=sys.stderr)
        return 6
    wanted = given.targets.split(",")
    names = list(SLICE) if given.models == ["slice"] else given.models or list(ZOO)
    run([name for name in names if given.fresh or not _is_done(name, wanted)], wanted)
    cells = [cell for name in ZOO for cell in kept(name).values()]
    (ROOT / "build/zoo.json").write_text(json.dumps({"cells": cells}, indent=1) + "\n", encoding="utf-8")
    (ROOT / "build/zoo.svg").write_text(draw(cells), encoding="utf-8")
    print(summary(cells))
    return int(any(cell["status"] == "failed" and len(cell["diagnosis"]) < 20 for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
