"""Send hostile requests to a server of ours, over HTTP and gRPC, a million by default: no crash, no hang, no leak, and
every one refused in words. See README.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests/serve")]

from siege import Seen, besiege, dripping, memory_mb  # noqa: E402 - it lies beside this file

WARM = 4000
"""Requests before memory is looked at: the first of each kind load libraries and fill pools."""

MOST_GROWTH_MB = 64.0
"""What a server may hold more at the end: pools of its allocators, no leak of a byte a request."""


def main() -> int:
    """Serve, send, tell; write build/fuzz/fuzz.json; 1 where anything is wrong."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--count", type=int, default=1_000_000)
    asked.add_argument("--begin", type=int, default=0, help="number of the first request")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--workers", type=int, default=3)
    asked.add_argument("--minutes", type=float, default=600.0, help="stop then")
    asked.add_argument("--drips", type=int, default=20, help="connections that send a byte a second")
    asked.add_argument("--bundles", type=Path, help="a folder with the Bundles of tests/serve")
    asked.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    given = asked.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    bundles = given.bundles or made(given.folder / "bundles")
    from served import free_port

    port, grpc_port = free_port(), free_port()
    words = [sys.executable, "-m", "torchport", "serve", bundles, "--port", port, "--grpc-port", grpc_port]
    with (given.folder / "serve.log").open("wb") as log:
        server = subprocess.Popen([*map(str, words), "--max-body", "4"], stdout=log, stderr=log)
        try:
            return told(given, server, port, grpc_port)
        finally:
            server.terminate()
            server.wait(60)


def told(given: argparse.Namespace, server: subprocess.Popen[bytes], port: int, grpc_port: int) -> int:
    """Send everything to the server; 1 where anything is wrong."""
    ready(port)
    until = time.time() + 60 * given.minutes
    common = {"seed": given.seed, "workers": given.workers, "until": until}
    for _ in besiege(port, grpc_port, count=WARM, **common):
        pass
    before, began = memory_mb(server.pid), time.monotonic()
    all_seen, history = Seen(), [before]
    with dripping(port, given.drips) as dripped:
        for seen in besiege(port, grpc_port, count=given.count, begin=given.begin, **common):
            all_seen.join(seen)
            if server.poll() is not None:
                break
            history.append(memory_mb(server.pid))
            done = all_seen.ended.total()
            print(f"{done:,} sent, {all_seen.wrongs} wrong, {history[-1]:.0f} MB", file=sys.stderr, flush=True)
    alive = server.poll() is None
    wrong = [*dict.fromkeys(dripped)]
    log = (given.folder / "serve.log").read_text(errors="replace")
    wrong += [] if alive else [f"the server ended with {server.returncode}"]
    wrong += ["the log has a traceback"] if "Traceback" in log else []
    growth = history[-1] - before
    wrong += [f"it holds {growth:.0f} MB more than before"] if growth > MOST_GROWTH_MB else []
    report(given.folder, all_seen, wrong, history, time.monotonic() - began)
    return int(bool(wrong or all_seen.wrongs))


def report(folder: Path, seen: Seen, wrong: list[str], history: list[float], seconds: float) -> None:
    """What came out, for people and as JSON."""
    statuses: dict[str, dict[int, int]] = {}
    for (family, status), number in sorted(seen.ended.items()):
        statuses.setdefault(family, {})[status] = number
    for family, numbers in statuses.items():
        said = ", ".join(f"{status or 'hung up'}: {number:,}" for status, number in numbers.items())
        print(f"{family:10} slowest {seen.slowest[family]:6.2f} s   {said}")
    for number, family, words in seen.wrong[:40]:
        print(f"WRONG  request {number}, {family}: {words}")
    for words in wrong:
        print(f"WRONG  {words}")
    print(
        f"{seen.ended.total():,} requests in {seconds:.0f} s, {seen.wrongs + len(wrong)} wrong; "
        f"memory {history[0]:.0f} MB before, {max(history):.0f} at most, {history[-1]:.0f} after"
    )
    found = {"statuses": statuses, "slowest_s": seen.slowest, "wrong": [*seen.wrong, *wrong], "memory_mb": history}
    (folder / "fuzz.json").write_text(json.dumps(found, indent=1))


def ready(port: int) -> None:
    """Wait until the server is."""
    for _ in range(600):
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready") as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise SystemExit("the server does not become ready")


def made(folder: Path) -> Path:
    """The Bundles of the tests."""
    from served import deployed

    if not (folder / "colours.tport").exists():
        folder.mkdir(parents=True, exist_ok=True)
        deployed(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
