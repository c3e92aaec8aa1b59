"""Requests that no client should send: each is refused in words, and the server goes on."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from served import Served

sys.path.append(str(Path(__file__).parents[2] / "benchmarks/fuzz"))

from siege import memory_mb, send

ROWS = [{"name": name, "shape": [1, 16], "datatype": "INT32", "data": [1] * 16} for name in ("INPUT0", "INPUT1")]


def test_a_few_hundred_hostile_requests_are_refused_in_words(server: Served) -> None:
    before = memory_mb(server.process.pid)
    seen = send(server.port, server.grpc_port, 1, 0, 700, time.time() + 60)
    assert (seen.wrong, seen.wrongs) == ([], 0)
    assert seen.ended.total() >= 700 and {family for family, _ in seen.ended} >= {"structure", "gRPC", "binary", "path"}
    assert memory_mb(server.process.pid) - before < 300
    assert server.json("GET", "/v2/health/ready")[0] == 200


LONG = " " * 40_000
"""Makes a body long enough to be read by the library for long ones."""

BAD: list[tuple[str, str | bytes]] = [
    ("very many keys", "{" + ",".join(f'"k{i}":1' for i in range(400_000)) + "}"),
    ("very many keys of an input", '{"inputs":[{' + ",".join(f'"k{i}":1' for i in range(400_000)) + "}]}"),
    (
        "very many inputs",
        json.dumps({"inputs": [{"name": "INPUT0", "shape": [1], "datatype": "INT32", "data": []}] * 20_000}),
    ),
    ("very many outputs", json.dumps({"inputs": ROWS, "outputs": [{"name": "OUTPUT0"}] * 100_000})),
    ("very many parameters", json.dumps({"inputs": ROWS, "parameters": {f"k{i}": 1 for i in range(100_000)}})),
    ("very many lists", '{"inputs":[{"name":"a","shape":[1],"datatype":"BOOL","data":[' + "[]," * 300_000 + "[]]}]}"),
    ("very many lists in a parameter", json.dumps({"inputs": ROWS, "parameters": {"a": [[[]] * 999] * 999}})),
    ("a long body of brackets", '{"inputs":' + "[" * 50_000),
    ("a long body with a number of 30 digits", LONG + json.dumps({"inputs": [{**ROWS[0], "shape": [10**30]}]})),
    ("bytes that are no UTF-8 in the data", json.dumps({"inputs": ROWS}).encode().replace(b"[1, 1", b'["\xff\x8a", 1')),
    ("bytes that are no UTF-8 in a long body", LONG.encode() + b'{"inputs": [{"name": "\xff\xfe"}]}'),
]


@pytest.mark.parametrize(("what", "body"), BAD, ids=[what for what, _ in BAD])
def test_what_the_generator_found_is_refused(server: Served, what: str, body: str | bytes) -> None:
    """Very many keys took time by their square: 400,000 of them minutes, in which nobody else was answered."""
    status, _, answer = server.ask("POST", "/v2/models/simple/infer", body)
    assert status == 400 and json.loads(answer)["error"]


def test_a_refusal_repeats_no_more_than_a_thousand_characters_of_a_request(server: Served) -> None:
    asked = {"inputs": [{**ROWS[0], "name": "x" * 20_000}]}
    status, told = server.json("POST", "/v2/models/simple/infer", asked)
    assert status == 400 and len(told["error"]) <= 1000


def test_a_log_setting_that_grpc_cannot_tell_is_refused(server: Served) -> None:
    for value in (1 << 32, 10**40, -1):
        status, told = server.json("POST", "/v2/logging", {"log_verbose_level": value})
        assert status == 400 and "log_verbose_level" in told["error"]


def test_bytes_that_are_no_message_are_an_invalid_argument_and_leave_no_trace_in_the_log(server: Served) -> None:
    grpc = pytest.importorskip("grpc")
    from torchport.serve.protocol import SERVICE, message

    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        with pytest.raises(grpc.RpcError) as found:
            channel.unary_unary(f"/{SERVICE}/ModelInfer")(b"\xff\xff", timeout=20)
        assert found.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "no ModelInferRequest" in found.value.details()
        read = message("ModelStreamInferResponse").FromString
        stream = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer", response_deserializer=read)
        answers = list(stream(iter([b"\xff\xff", b"\xff\xff"]), timeout=20))
        assert len(answers) == 2 and all("no ModelInferRequest" in one.error_message for one in answers)
    assert "Traceback" not in server.log.read_text()


class Never:
    """A connection whose body never comes, as the HTTP library hands it over."""

    def __init__(self) -> None:
        self.answer: tuple[Any, ...] = ()

    def __call__(self) -> asyncio.Future[bytes]:
        return asyncio.get_running_loop().create_future()

    def __aiter__(self) -> Never:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0.01)
        return b"x"

    def response_bytes(self, *answer: Any) -> None:
        self.answer = answer


@pytest.mark.parametrize("headers", [{"content-length": "100"}, {"transfer-encoding": "chunked"}])
def test_a_body_that_does_not_come_is_waited_for_for_a_while_only(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from torchport.serve import rsgi

    monkeypatch.setattr(rsgi, "BODY_S", 0.05)
    monkeypatch.setattr(rsgi, "SWEEP_S", 0.02)
    line = Never()
    app: Any = SimpleNamespace(app=None)

    async def ask() -> None:
        scope = SimpleNamespace(proto="http", headers=headers, path="/", query_string="", method="POST")
        await rsgi.Rsgi(app, 1000).__rsgi__(scope, line)

    asyncio.run(asyncio.wait_for(ask(), 20))
    assert line.answer[0] == 408 and b"did not come in time" in line.answer[2]
