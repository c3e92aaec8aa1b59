"""What the benchmarks of many scenarios share: each runs in a process of its own, is kept, and is measured anew when
anything that it depends on changes.

A scenario is a file in the benchmark's folder with a function `rows(short: bool) -> list[Row]`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
"""What eager PyTorch counts as its threads unless told otherwise."""

SHOWN = 2000
"""How much of a failed scenario's log is shown, in characters."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        folder: where its scenarios lie; its name is that of the documents in `build`.
        about: what it does, for `--help`.
        row: the dataclass of a row; its field `notes` is not published.
        judge: (row, timed) -> what the row falls short of, in words.
        line: a row's figures for people.
        missing: the rows of a whole run -> what should be there and is not.
        limit_s: seconds for one scenario, in full and in short.
    """

    folder: Path
    about: str
    row: type[Any]
    judge: Callable[[Any, bool], list[str]]
    line: Callable[[Any], str]
    missing: Callable[[Sequence[Any]], Collection[str]]
    limit_s: tuple[float, float] = (3600.0, 600.0)

    @property
    def name(self) -> str:
        """Of the folder, and of its documents."""
        return self.folder.name

    @property
    def kept(self) -> Path:
        """Where measured rows are kept."""
        return ROOT / "build" / self.name

    def scenarios(self) -> list[str]:
        """The names of the files that define `rows`, sorted."""
        return sorted(
            path.stem
            for path in self.folder.glob("*.py")
            if any(
                isinstance(node, ast.FunctionDef) and node.name == "rows" for node in ast.parse(path.read_bytes()).body
            )
        )

    def state(self, scenario: str) -> str:
        """A hash of all that a scenario's figures depend on: torchport, the models' code, the scenario, and every
        package's version.
        """
        helpers = [
            path for path in self.folder.glob("*.py") if path.stem not in {*self.scenarios(), "__main__", "bars"}
        ]
        parts = [
            self.folder / f"{scenario}.py",
            *sorted(helpers),
            *sorted((ROOT / "benchmarks" / "models").glob("*.py")),
            *sorted((ROOT / "src").rglob("*.py")),
        ]
        whole = hashlib.sha256()
        for path in parts:
            whole.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
        for package in sorted({f"{one.name}=={one.version}" for one in distributions()}):
            whole.update(package.encode())
        return whole.hexdigest()

    def measure(self, scenario: str, *, short: bool, limit_s: float) -> str:
        """Run one scenario in a process of its own, and keep its rows; what went wrong, in a line, or nothing."""
        self.kept.mkdir(parents=True, exist_ok=True)
        log = self.kept / f"{_name(scenario, short)}.log"
        command = [sys.executable, str(self.folder), scenario, "--child", *(["--short"] if short else [])]
        with log.open("wb") as noise:
            child = subprocess.Popen(
                command, stdout=noise, stderr=subprocess.STDOUT, cwd=ROOT, env=ONE_THREAD, start_new_session=True
            )
            try:
                status = child.wait(limit_s)
            except subprocess.TimeoutExpired:
                return f"not done after {limit_s:g} s, see {log}"
            finally:
                _end(child)
        if status == 0:
            return ""
        tail = log.read_text("utf-8", "replace").strip()[-SHOWN:]
        print(tail, file=sys.stderr)
        return f"{tail.splitlines()[-1] if tail else f'exit {status}'}, see {log}"

    def run_here(self, scenario: str, *, short: bool) -> None:
        """What the child does: measure, and write the rows down."""
        sys.path.insert(1, str(ROOT / "benchmarks" / "models"))
        before = self.state(scenario)
        start = time.perf_counter()
        rows: list[Any] = importlib.import_module(scenario).rows(short)
        document = {
            "state": before,
            "seconds": round(time.perf_counter() - start, 1),
            "rows": [asdict(row) for row in rows],
        }
        self._place(scenario, short).write_text(_json(document), "utf-8")

    def rows(self, scenario: str, *, short: bool) -> list[Any] | None:
        """The rows of a scenario that were measured with what there is now; None where there are none."""
        try:
            document = json.loads(self._place(scenario, short).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return [self.row(**row) for row in document["rows"]] if document["state"] == self.state(scenario) else None

    def _place(self, scenario: str, short: bool) -> Path:
        return self.kept / f"{_name(scenario, short)}.json"

    def write(self, rows: Sequence[Any], path: Path) -> None:
        """The document that others read."""
        published = [field.name for field in fields(self.row) if field.name != "notes"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_json({"rows": [{name: getattr(row, name) for name in published} for row in rows]}), "utf-8")

    def words(self, row: Any, *, timed: bool) -> str:
        """One row for people, with what it falls short of."""
        wrong = self.judge(row, timed)
        notes = "".join(
            f", {name} {value if isinstance(value, str) else format(value, '.4g')}" for name, value in row.notes.items()
        )
        return f"{'FAIL' if wrong else 'ok':<5} {self.line(row)}{notes}" + (f" [{'; '.join(wrong)}]" if wrong else "")


def in_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each call, all of them in turn in every round."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def main(benchmark: Benchmark) -> int:
    """Measure what is asked for, print it against the bars, write the document; 0 where every bar holds."""
    known = benchmark.scenarios()
    parser = argparse.ArgumentParser(prog=f"python benchmarks/{benchmark.name}", description=benchmark.about)
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(known)}; all when left out")
    parser.add_argument(
        "--short", action="store_true", help="a few items of each: does it hold together? Speed is not judged"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    parser.add_argument(
        "--json",
        type=Path,
        help=f"the document to write; build/{benchmark.name}.json, or build/{benchmark.name}.short.json with --short",
    )
    parser.add_argument(
        "--limit",
        type=float,
        help=f"seconds for one scenario; {benchmark.limit_s[0]:g}, or {benchmark.limit_s[1]:g} with --short",
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    unknown = sorted({*asked.scenario} - {*known})
    if unknown:
        parser.error(f"there is no scenario {unknown[0]}: it takes {', '.join(known)}")
    if asked.child:
        benchmark.run_here(asked.scenario[0], short=asked.short)
        return 0
    return _all(benchmark, asked, timed=not asked.short)


def _all(benchmark: Benchmark, asked: argparse.Namespace, *, timed: bool) -> int:
    failed = []
    for scenario in asked.scenario or benchmark.scenarios():
        wrong = ""
        if asked.fresh or benchmark.rows(scenario, short=asked.short) is None:
            wrong = benchmark.measure(
                scenario, short=asked.short, limit_s=asked.limit or benchmark.limit_s[asked.short]
            )
        rows = None if wrong else benchmark.rows(scenario, short=asked.short)
        if rows is None:
            failed.append(scenario)
            print(f"FAIL  {scenario}: {wrong or 'the code changed while it was measured'}", flush=True)
            continue
        for row in rows:
            print(benchmark.words(row, timed=timed), flush=True)
        if not rows or any(benchmark.judge(row, timed) for row in rows):
            failed.append(scenario)
    rows = [row for scenario in benchmark.scenarios() for row in benchmark.rows(scenario, short=asked.short) or ()]
    benchmark.write(rows, asked.json or ROOT / "build" / f"{benchmark.name}{'' if timed else '.short'}.json")
    missing = sorted(benchmark.missing(rows)) if not asked.scenario else []
    if missing:
        print(f"FAIL  no row of {', '.join(missing)}")
    return int(bool(failed or missing))


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a scenario with whatever it started."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _json(document: object) -> str:
    return (
        json.dumps(document, indent=1, ensure_ascii=False, default=lambda number: number.item()) + "\n"
    )  # numpy's own numbers


def _name(scenario: str, short: bool) -> str:
    return f"{scenario}.short" if short else scenario
