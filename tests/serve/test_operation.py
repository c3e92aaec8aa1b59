"""A server over its life: full queues, reloads under load, an end under load, bodies that are too long, bad Bundles."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import Served, picture, serving

BODY = json.dumps(
    {
        "inputs": [
            {"name": name, "shape": [1, 16], "datatype": "INT32", "data": [2] * 16} for name in ("INPUT0", "INPUT1")
        ]
    }
)


def ask(served: Served, path: str = "/v2/models/simple/infer", body: Any = BODY) -> tuple[int, dict[str, Any]]:
    """Status and document; a connection that is refused is 0, and everything else that goes wrong is an error."""
    try:
        status, _, answer = served.ask("POST", path, body)
    except ConnectionRefusedError:
        return 0, {}
    return status, json.loads(answer)


def test_a_model_is_loaded_again_under_load_and_no_request_is_lost(bundles: Path) -> None:
    stop = threading.Event()
    found: list[tuple[int, Any]] = []

    def client(path: str, body: Any) -> None:
        while not stop.is_set():
            found.append(ask(served, path, body))

    with serving(bundles / "simple.tport", bundles / "colours.tport") as served, ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(client, "/v2/models/simple/infer", BODY) for _ in range(2)]
        jobs += [pool.submit(client, "/v2/models/colours/predict", picture((0, 0, 200))) for _ in range(2)]
        for _ in range(4):
            for name in ("simple", "colours"):
                assert served.json("POST", f"/v2/repository/models/{name}/load")[0] == 200
        stop.set()
        for job in jobs:
            job.result()
    assert {status for status, _ in found} == {200} and len(found) > 20
    for _, told in found:
        if "outputs" in told:
            assert told["outputs"][0]["data"] == [4] * 16
        else:
            assert told["labels"][0]["label"] == "blue"


def test_an_end_under_load_answers_what_was_taken(bundles: Path) -> None:
    found: list[int] = []

    def client() -> None:
        while 0 not in found[-1:] and time.monotonic() < until:
            found.append(ask(served, "/v2/models/colours/predict", picture((200, 0, 0)))[0])

    until = time.monotonic() + 20
    with serving(bundles / "colours.tport") as served, ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(client) for _ in range(4)]
        while found.count(200) < 20:
            time.sleep(0.01)
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        until = min(until, time.monotonic() + 0.2)
        for job in jobs:
            job.result()
        assert served.process.wait(20) == 0
    assert set(found) <= {200, 503, 0} and found.count(200) >= 20


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again(bundles: Path) -> None:
    with serving(bundles / "colours.tport", "--queue", "2", "--batch", "1") as served, ThreadPoolExecutor(24) as pool:
        big = picture((1, 2, 3), (3000, 3000))
        jobs = [pool.submit(served.ask, "POST", "/v2/models/colours/predict", big) for _ in range(24)]
        answers = [job.result() for job in jobs]
        assert {status for status, _, _ in answers} == {200, 429}
        refused = [(headers, body) for status, headers, body in answers if status == 429]
        assert all(headers["retry-after"] == "1" and b"wait" in body for headers, body in refused)
        late = {"inputs": [{"name": "raw", "shape": [1], "datatype": "BYTES", "data": [""]}]}
        assert served.json("POST", "/v2/models/colours-raw/infer", late)[0] == 400
        metrics = served.ask("GET", "/metrics")[2].decode()
        assert re.search(rf'request_failure_total{{.*reason="REJECTED".*}} {len(refused)}\.0', metrics)


def test_a_body_that_is_too_long_is_refused_before_it_is_read(bundles: Path) -> None:
    import gzip
    import http.client

    with serving(bundles / "simple.tport", "--max-body", "1") as served:
        line = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        line.putrequest("POST", "/v2/models/simple/infer")
        line.putheader("Content-Length", str(1 << 33))
        line.endheaders()
        answer = line.getresponse()
        assert answer.status == 413 and b"1,048,576" in answer.read()
        line.close()
        bomb = gzip.compress(b" " * (2 << 20))
        status, _, told = served.ask("POST", "/v2/models/simple/infer", bomb, {"Content-Encoding": "gzip"})
        assert status == 413 and b"decompressed" in told
        assert ask(served)[0] == 200


def test_a_bundle_that_fails_its_check_is_never_served(bundles: Path, tmp_path: Path) -> None:
    shutil.copytree(bundles / "simple.tport", tmp_path / "good.tport")
    bad = tmp_path / "bad.tport"
    shutil.copytree(bundles / "colours.tport", bad)
    model = next((bad / "variants").rglob("*.onnx"))
    model.write_bytes(model.read_bytes()[:-20])
    with serving(tmp_path, ready=False) as served:
        until = time.monotonic() + 30
        rows: dict[str, Any] = {}
        while time.monotonic() < until and {row["state"] for row in rows.values()} != {"READY", "UNAVAILABLE"}:
            time.sleep(0.05)
            try:
                rows = {row["name"]: row for row in served.json("POST", "/v2/repository/index")[1]}
            except OSError:
                continue
        assert rows["simple"]["state"] == "READY" and rows["bad"]["state"] == "UNAVAILABLE"
        assert ".onnx" in rows["bad"]["reason"]
        assert served.json("GET", "/v2/health/ready")[0] == 503
        assert served.json("GET", "/v2/models/bad/ready")[0] == 503
        assert ask(served)[0] == 200


def test_a_bundles_contents_in_a_read_only_folder_under_any_name(bundles: Path, tmp_path: Path) -> None:
    place = tmp_path / "mnt" / "models"
    shutil.copytree(bundles / "simple.tport", place)
    for one in (*place.rglob("*"), place):
        one.chmod(0o555 if one.is_dir() else 0o444)
    try:
        with serving(place, "--name", "cat", "--no-loading", HOME="/nonexistent") as served:
            assert served.json("GET", "/v2/models/cat/ready")[0] == 200
            assert served.json("POST", "/v2/repository/models/cat/unload")[0] == 403
            assert ask(served, "/v2/models/cat/infer")[0] == 200
    finally:
        for one in (place, *place.rglob("*")):
            one.chmod(0o755)


def test_shared_memory_where_it_is_allowed(bundles: Path) -> None:
    from multiprocessing import shared_memory

    memory = shared_memory.SharedMemory(create=True, size=256)
    try:
        numbers = np.ndarray((2, 16), np.int32, memory.buf)
        numbers[:] = [[5], [3]]
        with serving(bundles / "simple.tport", "--shared-memory") as served:
            region = {"key": f"/{memory.name}", "offset": 0, "byte_size": 256}
            path = "/v2/systemsharedmemory/region/mine"
            assert served.json("POST", f"{path}/register", region) == (200, {})
            assert served.json("POST", f"{path}/register", region)[0] == 400
            assert served.json("GET", f"{path}/status")[1] == [{"name": "mine", **region}]
            for key in ("/etc/passwd", "../../etc/passwd", "nobody"):
                bad = {"key": key, "offset": 0, "byte_size": 8}
                assert served.json("POST", "/v2/systemsharedmemory/region/other/register", bad)[0] == 400

            def place(offset: int, size: int = 64) -> dict[str, Any]:
                return {
                    "shared_memory_region": "mine",
                    "shared_memory_offset": offset,
                    "shared_memory_byte_size": size,
                }

            inputs = [
                {"name": name, "shape": [1, 16], "datatype": "INT32", "parameters": place(offset)}
                for name, offset in (("INPUT0", 0), ("INPUT1", 64))
            ]
            outputs = [{"name": "OUTPUT0", "parameters": place(128)}]
            status, told = served.json("POST", "/v2/models/simple/infer", {"inputs": inputs, "outputs": outputs})
            assert status == 200 and told["outputs"][0]["parameters"]["shared_memory_byte_size"] == 64
            assert bytes(memory.buf[128:192]) == np.full(16, 8, "<i4").tobytes()
            outputs = [{"name": "OUTPUT0", "parameters": place(224)}]
            assert served.json("POST", "/v2/models/simple/infer", {"inputs": inputs, "outputs": outputs})[0] == 400
            os.truncate(f"/dev/shm/{memory.name}", 8)
            status, told = served.json("POST", "/v2/models/simple/infer", {"inputs": inputs})
            assert status == 400 and "shorter" in told["error"], "a mapped region would end the server here"
            assert served.json("GET", "/v2/systemsharedmemory/region/nobody/status")[0] == 404
            assert served.json("POST", "/v2/systemsharedmemory/unregister") == (200, {})
            assert served.json("POST", "/v2/models/simple/infer", {"inputs": inputs})[0] == 400
        del numbers
    finally:
        memory.close()
        memory.unlink()


@pytest.mark.parametrize(
    ("words", "said"),
    [(("nowhere",), "does not exist"), (("--name", "../x", "simple.tport"), "cannot be called")],
)
def test_what_cannot_be_served_is_told_at_once(bundles: Path, words: tuple[str, ...], said: str) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "torchport", "serve", *words]
    ran = subprocess.run(command, cwd=bundles, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2 and said in ran.stderr
