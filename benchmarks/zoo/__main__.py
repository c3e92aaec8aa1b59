"""Architectures that nobody here wrote, on every target: `python benchmarks/zoo [MODEL...]`; see the README beside this
file.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
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
from table import draw, lines, summary  # noqa: E402
from zoo import SLICE, ZOO  # noqa: E402

ROOT = HERE.parents[1]
KEPT = ROOT / "build/zoo/cells"
TABLE = HERE / "table.json"
"""What was found so far, as it is committed: a run goes on from it."""
TARGETS = ("onnx", "torchscript", "pt2", "openvino", "executorch", "mobile")
A_CHILD, A_MODEL_S = 12, 900.0
"""How many architectures one process takes, so that its imports are paid once, and how long one may take."""


def kept(name: str) -> dict[str, Any]:
    """What was found before, by target: here, else as it is committed."""
    path = KEPT / f"{name}.json"
    here = json.loads(path.read_bytes()) if path.is_file() else ()
    return {cell["target"]: cell for cell in (*_committed().get(name, ()), *here)}


@functools.cache
def _committed() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in json.loads(TABLE.read_bytes())["cells"] if TABLE.is_file() else ():
        found.setdefault(cell["model"], []).append(cell)
    return found


def keep(name: str, cells: Sequence[dict[str, Any]]) -> None:
    """Write what was found, beside what was found on other targets."""
    KEPT.mkdir(parents=True, exist_ok=True)
    known = {**kept(name), **{cell["target"]: cell for cell in cells}}
    scratch = KEPT / f".{name}.json"
    scratch.write_text(json.dumps(list(known.values()), indent=1) + "\n", encoding="utf-8")
    scratch.replace(KEPT / f"{name}.json")


def child(names: Sequence[str], wanted: Sequence[str], *, fresh: bool) -> None:
    """Take some architectures, one after the other, keeping each as it is done; `fresh` takes known cells anew."""
    import warnings

    from cells import cells

    warnings.simplefilter("ignore")
    _import_converters(wanted)
    for name in names:
        print(name, flush=True)
        missing = [target for target in wanted if fresh or target not in kept(name)]
        keep(name, [asdict(cell) for cell in cells(name, ZOO[name], missing)])


CONVERTERS = {
    "onnx": ("onnxscript", "torch.onnx._internal.exporter", "torch.onnx._internal.exporter._core", "onnxruntime"),
    "openvino": ("openvino.frontend.pytorch.fx_decoder", "openvino.frontend.pytorch.ts_decoder"),
    "executorch": ("executorch.exir", "executorch.backends.xnnpack.partition.xnnpack_partitioner"),
}
"""What the converters import, by target."""


def _import_converters(wanted: Sequence[str]) -> None:
    """Import them once, for every child that is forked to export: for some that takes longer than the export."""
    for target in wanted:
        for module in CONVERTERS.get(target, ()):
            with contextlib.suppress(ImportError):
                importlib.import_module(module)


def run(names: Sequence[str], wanted: Sequence[str], *, fresh: bool) -> None:
    """Several architectures in a process; one that ends it costs its own cells only."""
    left = list(names)
    while left:
        group = left[:A_CHILD]
        begun = dict.fromkeys(group, 0.0)
        process = subprocess.Popen(
            [sys.executable, HERE, "--child", ",".join(wanted), *["--fresh"] * fresh, *group],
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
            ended = [target for target in wanted if fresh or target not in kept(now)]
            keep(now, [{"model": now, "family": ZOO[now].family, "target": target, **lost} for target in ended])
            done.append(now)
        for name in done:
            _say(name)
        left = [name for name in left if name not in done]


def _place(target: str) -> tuple[int, str]:
    return (TARGETS.index(target) if target in TARGETS else len(TARGETS), target)


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
        child(given.models, given.child.split(","), fresh=given.fresh)
        return 0
    if not PACKAGES.is_dir():
        print(f"{PACKAGES} is missing: `make zoo` installs it", file=sys.stderr)
        return 6
    wanted = given.targets.split(",")
    names = list(SLICE) if given.models == ["slice"] else given.models or list(ZOO)
    run([name for name in names if given.fresh or not _is_done(name, wanted)], wanted, fresh=given.fresh)
    cells = [cell for name in ZOO for cell in sorted(kept(name).values(), key=lambda cell: _place(cell["target"]))]
    (ROOT / "build/zoo.json").write_text(lines(cells), encoding="utf-8")
    (ROOT / "build/zoo.svg").write_text(draw(cells), encoding="utf-8")
    TABLE.write_text(lines(cells), encoding="utf-8")
    TABLE.with_suffix(".svg").write_text(draw(cells), encoding="utf-8")
    print(summary(cells))
    return int(any(cell["status"] == "failed" and len(cell["diagnosis"]) < 20 for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
