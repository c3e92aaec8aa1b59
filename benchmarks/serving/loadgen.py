"""`torchport loadtest` beside the real LoadGen: both put the scenario single-stream on the same callable.

    pip install --no-deps --target build/loadgen mlcommons-loadgen==6.0.17
    PYTHONPATH=build/loadgen python benchmarks/serving/loadgen.py BUNDLE

The callable is `Predictor.predict` on the Bundle's golden inputs. LoadGen and `torchport loadtest` run in turn, several
times, in one process. Other programs change the callable's speed between two runs, so each tool's percentile is also
divided by that of the durations which the callable itself saw in the same run; the figure is the ratio of the two
quotients. LoadGen's early-stopping estimate is compared with ours of the same latencies.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import mlperf_loadgen as loadgen

from torchport.jobs.load_statistics import estimate, percentile
from torchport.jobs.load_subjects import InProcess, items_of
from torchport.jobs.loadtest import Asked, loadtest
from torchport.predict import Predictor

BAR = 0.05


class Watched(InProcess):
    """Notes how long each call took, in ms."""

    durations: list[float]

    def ask(self, samples: Any) -> Any:
        """As it is, timed."""
        began = time.perf_counter()
        answers = super().ask(samples)
        self.durations.append((time.perf_counter() - began) * 1e3)
        return answers


def by_loadgen(subject: Watched, seconds: float) -> dict[str, float]:
    """Latencies in ms as LoadGen's own summary has them."""

    def issue(queries: Any) -> None:
        for query in queries:
            subject.ask([query.index])
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(query.id, 0, 0)])

    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = int(seconds * 1000)
    settings.min_query_count = 64
    settings.single_stream_expected_latency_ns = 1_000_000
    count = len(subject.labels)
    system = loadgen.ConstructSUT(issue, lambda: None)
    samples = loadgen.ConstructQSL(count, count, lambda _: None, lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        output, log = loadgen.LogOutputSettings(), loadgen.LogSettings()
        output.outdir = folder
        log.log_output = output
        loadgen.StartTestWithLogSettings(system, samples, settings, log)
        text = Path(folder, "mlperf_log_summary.txt").read_text("utf-8")
    loadgen.DestroyQSL(samples)
    loadgen.DestroySUT(system)
    found = {share: re.search(rf"{share}.00 percentile latency \(ns\)\s*: (\d+)", text) for share in (50, 90, 99)}
    early = re.search(r"Early stopping 90.0th percentile estimate: (\d+)", text)
    assert early and all(found.values()), text
    return {"estimate": int(early[1]) / 1e6, **{f"p{share}": int(hit[1]) / 1e6 for share, hit in found.items() if hit}}


def by_torchport(subject: Watched, seconds: float) -> dict[str, float]:
    """The same figures of `torchport loadtest`."""
    found = loadtest(subject, "", Asked("single-stream", seconds=seconds))
    assert found.latency_ms is not None and found.estimate_ms is not None, found.why
    times = found.latency_ms
    shown = {"p50": times.p50, "p90": times.p90, "p99": times.p99, "estimate": found.estimate_ms}
    return {**shown, "queries": found.queries}


def main() -> None:
    """Run both in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pairs", type=int, default=10)
    words = parser.parse_args()
    with Predictor(words.bundle) as predictor:
        subject = Watched(predictor, items_of(predictor, None), batch=1)
        rows = []
        for number in range(words.pairs):
            both = [by_torchport, by_loadgen] if number % 2 else [by_loadgen, by_torchport]
            found = {one.__name__: beside_its_own(one, subject, words.seconds) for one in both}
            rows.append(found)
            print(json.dumps(found), flush=True)
        subject.close()
    for what in ("p50", "p90", "p99", "estimate"):
        for kind in ("", " by own"):
            ratio, low, high = compared(rows, what + kind)
            print(f"{what}{kind}: torchport / LoadGen, median {ratio:.4f}, {low:.4f} .. {high:.4f}")
    raise SystemExit(abs(compared(rows, "p90 by own")[0] - 1) > BAR)


def beside_its_own(tool: Any, subject: Watched, seconds: float) -> dict[str, float]:
    """What a tool says, and each figure divided by that of the durations that the callable saw in the same run."""
    subject.durations = []
    told = tool(subject, seconds)
    own = sorted(subject.durations[-round(told.pop("queries", 0)) or None :])
    known = {f"p{share}": percentile(own, share / 100) for share in (50, 90, 99)}
    known["estimate"] = estimate(own, 0.9) or float("nan")
    return {**told, **{f"{name} by own": told[name] / known[name] for name in told}}


def compared(rows: list[dict[str, dict[str, float]]], name: str) -> tuple[float, float, float]:
    """Median, least and greatest ratio of the pairs."""
    ratios = sorted(row["by_torchport"][name] / row["by_loadgen"][name] for row in rows)
    return statistics.median(ratios), ratios[0], ratios[-1]


if __name__ == "__main__":
    main()
