"""`torchport loadtest` beside the real LoadGen: both put the scenario single-stream on the same callable.

    python -m venv /tmp/loadgen && /tmp/loadgen/bin/pip install mlcommons-loadgen==6.0.17 numpy
    PYTHONPATH=... /tmp/loadgen/bin/python benchmarks/serving/loadgen.py BUNDLE

The callable is `Predictor.predict` on the Bundle's golden inputs. LoadGen and `torchport loadtest` run in turn, several
times, in one process; the figure is the ratio of their 90th percentiles, by all runs and by each pair.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
from pathlib import Path
from typing import Any

import mlperf_loadgen as loadgen

from torchport.jobs.load_subjects import InProcess, items_of
from torchport.jobs.loadtest import Asked, loadtest
from torchport.predict import Predictor

BAR = 0.05


def by_loadgen(subject: InProcess, seconds: float) -> dict[str, float]:
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
    found = {name: re.search(rf"{re.escape(name)}[^:]*:\s*(\d+)", text) for name in ("50.00", "90.00", "99.00")}
    early = re.search(r"Early stopping 90th percentile estimate: (\d+)", text)
    result = {f"p{name[:2]}": int(hit[1]) / 1e6 for name, hit in found.items() if hit}
    return {**result, "estimate": int(early[1]) / 1e6} if early else result


def by_torchport(subject: InProcess, seconds: float) -> dict[str, float]:
    """The same figures of `torchport loadtest`."""
    found = loadtest(subject, "", Asked("single-stream", seconds=seconds))
    assert found.latency_ms is not None and found.estimate_ms is not None, found.why
    times = found.latency_ms
    return {"p50": times.p50, "p90": times.p90, "p99": times.p99, "estimate": found.estimate_ms}


def main() -> None:
    """Run both in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pairs", type=int, default=10)
    words = parser.parse_args()
    with Predictor(words.bundle) as predictor:
        subject = InProcess(predictor, items_of(predictor, None), batch=1)
        rows = []
        for number in range(words.pairs):
            both = [by_torchport, by_loadgen] if number % 2 else [by_loadgen, by_torchport]
            found = {one.__name__: one(subject, words.seconds) for one in both}
            rows.append(found)
            print(json.dumps(found), flush=True)
    for name in ("p50", "p90", "p99", "estimate"):
        ratios = sorted(row["by_torchport"][name] / row["by_loadgen"][name] for row in rows)
        print(
            f"{name}: torchport / LoadGen, median {statistics.median(ratios):.3f}, {ratios[0]:.3f} .. {ratios[-1]:.3f}"
        )
    ratio = statistics.median(row["by_torchport"]["p90"] / row["by_loadgen"]["p90"] for row in rows)
    raise SystemExit(abs(ratio - 1) > BAR)


if __name__ == "__main__":
    main()
