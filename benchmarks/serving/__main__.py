"""The server against the same variant with nothing around it: the server on one core, clients on another, slices of
both in turns, the median of the ratios with its interval.

    python benchmarks/serving [--slices 10] [--seconds 2] [CELL...]

Needs `wrk` and two cores; writes build/serving.json.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
BUNDLES = {"mlp": ROOT / "build/serving/mlp.tport", "eff": ROOT / "build/demo/efficientnet-lite0.tport"}
NAMES = {"mlp": "mlp", "eff": "efficientnet-lite0"}
CELLS = {
    "mlp.json@32": ("granian", 0.85),
    "eff.binary@8": ("loop", 0.95),
    "eff.json@8": ("loop", 0.7),
    "eff.jpeg@8": ("jpeg", 0.95),
}
"""Cell -> what it is held against, and the bar of the ratio."""

SERVER_CORE, CLIENT_CORE = 0, 1


def main() -> None:
    """Measure the cells, print a line each, write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", default=list(CELLS), metavar="CELL", help=", ".join(CELLS))
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0)
    words = parser.parse_args()
    make_bundle()
    rows = []
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as port:
        for name in words.cells:
            row = cell(name, port, Path(folder), words.slices, words.seconds)
            rows.append(row)
            low, high = row["interval"]
            held = "holds" if high >= row["bar"] else "FALLS SHORT"
            print(
                f"{name}: {row['ratio']:.3f} of {row['against']} ({low:.3f} to {high:.3f}), bar {row['bar']}: {held}; "
                f"{row['rate']:.0f}/s, {row['cpu_us']:.0f} us of processor time a request beside {row['bare_us']:.0f}, "
                f"p99 {row['p99_ms']:.1f} ms",
                flush=True,
            )
    document = {"cpu": cpu(), "rows": rows}
    (ROOT / "build/serving.json").write_text(json.dumps(document, indent=1))


def make_bundle() -> None:
    """The two-layer network's Bundle, where it is not there."""
    if not BUNDLES["mlp"].exists():
        import torch

        import torchport

        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(10, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
        BUNDLES["mlp"].parent.mkdir(parents=True, exist_ok=True)
        torchport.deploy(net, BUNDLES["mlp"], inputs=["input:float32[batch,10]"], targets=["onnx"], quick=True)


@contextlib.contextmanager
def started(command: list[Any], port: int, path: str | None) -> Iterator[subprocess.Popen[bytes]]:
    """A process on the server's core that listens at a port."""
    process = subprocess.Popen(["taskset", "-c", str(SERVER_CORE), *map(str, command)], stdout=2)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            if path is None or get(port, path) == 200:
                break
        time.sleep(0.05)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def get(port: int, path: str) -> int:
    """Status of one request."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    line.request("GET", path)
    return line.getresponse().status


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Our server of both Bundles."""
    port = free_port()
    ports = ["--port", port, "--grpc-port", free_port()]
    command = [sys.executable, "-m", "torchport", "serve", *BUNDLES.values(), *ports, "--threads", 1]
    with started(command, port, "/v2/health/ready") as process:
        PROCESS[port] = process.pid
        yield port


PROCESS: dict[int, int] = {}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def body(model: str, kind: str, folder: Path) -> tuple[Path, str, str]:
    """A request's file, its content type, and the bytes of JSON before its tensors."""
    path, head = folder / f"{model}.{kind}", "-"
    if kind == "jpeg":
        return sorted((ROOT / "build/demo/photos").glob("*.jpg"))[0], "image/jpeg", head
    shape = (1, 10) if model == "mlp" else (1, 3, 224, 224)
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    name = {"mlp": "input", "eff": "inputs"}[model]
    tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": shape}
    if kind == "json":
        path.write_text(json.dumps({"inputs": [{**tensor, "data": [round(float(v), 4) for v in array.ravel()]}]}))
        return path, "application/json", head
    tensor["parameters"] = {"binary_data_size": array.nbytes}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    path.write_bytes(text + array.tobytes())
    return path, "application/octet-stream", str(len(text))


def load(port: int, path: str, sent: tuple[Path, str, str], clients: int, seconds: float) -> dict[str, Any]:
    """One slice of requests; raises where one failed."""
    file, kind, head = sent
    command = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--latency"]
    words = ["-s", HERE / "post.lua", f"http://127.0.0.1:{port}", "--", path, kind, head, file]
    ran = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    if told["failed"]:
        raise SystemExit(f"{path}: {told['failed']} of {told['requests']} requests failed")
    return told


def spent(process: int) -> float:
    """Seconds of processor time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bare_loop(model: str, kind: str, seconds: float) -> tuple[float, float]:
    """Items a second of the bare loop, at its best batch size, and microseconds of processor time an item."""
    words = [HERE / "bare.py", "loop", BUNDLES[model], kind, seconds]
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    rate, us = max(json.loads(ran.stdout).values())
    return rate, us


def cell(name: str, port: int, folder: Path, slices: int, seconds: float) -> dict[str, Any]:
    """One row of the table."""
    model, _, rest = name.partition(".")
    kind, _, clients = rest.partition("@")
    against, bar = CELLS[name]
    sent = body(model, kind, folder)
    verb = "predict" if kind == "jpeg" else "infer"
    path = f"/v2/models/{NAMES[model]}/{verb}"
    ratios, rates, costs, bare_costs, tails = [], [], [], [], []
    with contextlib.ExitStack() as stack:
        if against == "granian":
            other = free_port()
            command = [sys.executable, HERE / "bare.py", "granian", BUNDLES[model], other]
            bare = stack.enter_context(started(command, other, None)).pid
        for _ in range(slices):
            if against == "granian":
                before = spent(bare)
                told = load(other, path, sent, int(clients), seconds)
                base, us = told["requests"] / told["us"] * 1e6, (spent(bare) - before) / told["requests"] * 1e6
            else:
                base, us = bare_loop(model, str(sent[0]) if kind == "jpeg" else "model", seconds)
            bare_costs.append(us)
            before = spent(PROCESS[port])
            told = load(port, path, sent, int(clients), seconds)
            rates.append(told["requests"] / told["us"] * 1e6)
            costs.append((spent(PROCESS[port]) - before) / told["requests"] * 1e6)
            tails.append(told["p99"] / 1000)
            ratios.append(rates[-1] / base)
    low, high = interval(ratios)
    return {
        "cell": name,
        "against": against,
        "bar": bar,
        "ratio": float(np.median(ratios)),
        "interval": [low, high],
        "rate": float(np.median(rates)),
        "cpu_us": float(np.median(costs)),
        "bare_us": float(np.median(bare_costs)),
        "p99_ms": float(np.median(tails)),
        "ratios": ratios,
    }


def interval(values: list[float]) -> tuple[float, float]:
    """95 % interval of the median, by resampling."""
    drawn = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))


if __name__ == "__main__":
    main()
