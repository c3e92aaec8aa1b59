"""Unmodified clients that nobody here wrote, in an environment of their own: they need older packages than ours."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import CLIENTS, Served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLIENTS.exists(), reason="needs the clients' environment: make .venv-clients/.stamp"),
]

SUM = (np.arange(32).reshape(2, 16) + 7).tolist()
DIFFERENCE = (np.arange(32).reshape(2, 16) - 7).tolist()


def calls(kind: str, server: Served) -> dict[str, Any]:
    """What the client of that kind sees."""
    script = Path(__file__).with_name("client_calls.py")
    command = [CLIENTS, "-W", "ignore", script, kind, str(server.port), str(server.grpc_port)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-3000:]
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize("kind", ["http", "http.aio", "grpc", "grpc.aio"])
def test_every_method_of_tritons_client(server: Served, kind: str) -> None:
    told = calls(kind, server)
    assert told["live"] and told["ready"] and told["model_ready"]
    assert told["absent_ready"] in (False, "InferenceServerException")
    assert told["server"]["name"] == "torchport" and "statistics" in told["server"]["extensions"]
    assert [int(size) for size in told["model"]["inputs"][0]["shape"]] == [-1, 16]
    config = told["config"].get("config", told["config"])
    assert config["max_batch_size"] > 0 and config["input"][0]["data_type"] == "TYPE_INT32"
    rows = told["index"]["models"] if isinstance(told["index"], dict) else told["index"]
    assert {"simple", "colours-raw"} <= {one["name"] for one in rows}
    assert told["sum"] == SUM and told["difference"] == DIFFERENCE
    assert told["id"] == "one" and told["model_name"] == "simple"
    assert told["only"] == [DIFFERENCE, True]
    assert all(told["kinds"].values()) and told["flag"] == [[False, True]]
    assert told["class"] == "10.000000:1:green" and told["label"] == "blue"
    assert told["gzip"] == told["deflate"] == SUM
    assert "nobody" in told["errors"][0] and "inputs are" in told["errors"][1] and "int64" in told["errors"][2]
    (statistics,) = told["statistics"]["model_stats"]
    assert int(statistics["inference_stats"]["success"]["count"]) >= 2
    assert told["unloaded"] is False and told["loaded"] is True
    if kind == "grpc":
        assert told["stream"][0] == told["stream"][2] == SUM and "nobody" in told["stream"][1]


def test_kserves_clients(server: Served) -> None:
    told = calls("kserve", server)
    assert told.pop("sum_False") == told.pop("sum_True") == told.pop("grpc_sum") == SUM
    assert all(value is True for value in told.values()), told
