"""The kit finds nothing where a server is right, and the fault by its name where it is wrong."""

from __future__ import annotations

import ast
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest
from small_server import small

from torchport.conform import ConformDocument, conform
from torchport.errors import BadInput, UsageError

ROOM = Path(__file__).parents[2] / "src/torchport/conform"


def differing(found: ConformDocument) -> dict[str, str]:
    """Name of each check that differs, and why."""
    return {row.name: row.reason or "" for row in found.checks if row.verdict == "differs"}


def test_a_right_server_that_is_not_ours_differs_in_nothing() -> None:
    with small() as url:
        found = conform(url)
    assert differing(found) == {}
    assert (found.server, found.model) == ("small 1", "double")
    rows = {row.name: row for row in found.checks}
    assert rows["raw body"].verdict == rows["binary outputs"].verdict == rows["datatype FP32"].verdict == "holds"
    assert rows["statistics"].verdict == "not offered" and "does not list" in (rows["statistics"].reason or "")
    assert rows["server live"].verdict == "not offered" and "--grpc" in (rows["server live"].reason or "")
    assert found.verdicts["holds"] > 30 and sum(found.verdicts.values()) == len(found.checks)


FAULTS = {
    "silent": {"live", "ready"},
    "anonymous": {"request id"},
    "big-endian": {"binary outputs", "mixed outputs", "raw body", "datatype FP32"},
    "lenient": {"wrong values"},
    "forgetful": {"unknown model", "unknown version", "path tricks"},
    "unprocessable": {"no request", "wrong shape", "wrong datatype", "wrong lengths"},
    "detail": {"no request", "unknown model", "unknown path", "huge body", "no shared memory"},
    "created": {"infer"},
    "unversioned": {"model metadata"},
    "shapeless": {"model metadata"},
}
"""What a server does wrong, and checks that have to say so."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str) -> None:
    with small(fault) as url:
        found = differing(conform(url))
    assert FAULTS[fault] <= set(found)
    if fault in ("silent", "anonymous", "lenient", "created", "unversioned", "shapeless"):
        assert set(found) == FAULTS[fault]


def test_a_page_that_is_no_server_of_the_protocol_differs_and_nothing_breaks() -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        do_POST = do_GET

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        found = conform(f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
        thread.join()
    assert found.model is None and {"live", "server metadata", "unknown model"} <= set(differing(found))


def test_faults_of_grpc_are_named() -> None:
    grpc = pytest.importorskip("grpc")
    from torchport.serve.protocol import METHODS, SERVICE, message

    def infer(request: Any, context: Any) -> Any:
        """Typed contents in the answer, and every error is INTERNAL."""
        if request.model_name != "double" or not request.raw_input_contents:
            context.abort(grpc.StatusCode.INTERNAL, "no")
        made = message("ModelInferResponse")(model_name="double", model_version="3")
        made.outputs.add(name="y", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend([0, 2, 0, 2])
        return made

    handlers = {
        "ServerLive": lambda request, context: message("ServerLiveResponse")(live=True),
        "ModelInfer": infer,
    }
    made = {
        name: grpc.unary_unary_rpc_method_handler(
            run,
            message(METHODS[name].input_type.name).FromString,
            message(METHODS[name].output_type.name).SerializeToString,
        )
        for name, run in handlers.items()
    }
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, made),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with small() as url:
        found = conform(url, grpc=f"127.0.0.1:{port}")
    server.stop(None).wait()
    verdicts = {row.name: row.verdict for row in found.checks}
    assert verdicts["server live"] == "holds" and verdicts["server ready"] == "not offered"
    wrong = differing(found)
    assert "raw_output_contents" in wrong["raw tensors"] and "INTERNAL" in wrong["grpc unknown model"]
    assert "large message" in wrong, "the server's limit is gRPC's own"


def test_what_cannot_be_asked_is_told() -> None:
    with pytest.raises(UsageError, match="no URL"):
        conform("ftp://localhost")
    with pytest.raises(BadInput, match="does not answer"):
        conform("http://127.0.0.1:1")
    with small() as url, pytest.raises(BadInput, match="is not there"):
        conform(url, model="nobody")


def test_the_kit_is_a_client_only() -> None:
    """It knows of the server what any client knows: the datatypes and the messages."""
    known = {"serve.datatypes", "serve.protocol"}
    found = set()
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("serve"):
                found.add(node.module)
    assert found == known
