"""A small server of the protocol that shares no code with torchport's: right, or wrong in ways that have a name."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from typing import Any
from urllib.parse import unquote

import numpy as np

DOUBLE = {
    "name": "double",
    "versions": ["3"],
    "platform": "python",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
}
EXTENSIONS = ["binary_tensor_data"]


class Wrong(Exception):
    """A refusal: status and words."""


class Handler(BaseHTTPRequestHandler):
    """One model, which doubles; `faults` of the server say what it does wrong."""

    server: Small
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def log_message(self, *words: Any) -> None:
        """Say nothing."""

    def _handle(self, method: str) -> None:
        faults = self.server.faults
        try:
            length = int(self.headers.get("content-length", 0))
            if length > 1 << 24:
                self.close_connection = True
                raise Wrong(413, "the body is too long")
            body = self._inflated(self.rfile.read(length))
            answer = self._answer(method, [unquote(part) for part in self.path.strip("/").split("/")], body)
            self._send(201 if "created" in faults and method == "POST" else 200, *answer)
        except Wrong as exc:
            status, words = exc.args
            status = 422 if "unprocessable" in faults and status == 400 else status
            self._send(status, json.dumps({"detail" if "detail" in faults else "error": words}).encode())

    def _inflated(self, body: bytes) -> bytes:
        kind = self.headers.get("content-encoding", "")
        if kind not in ("", "gzip", "deflate"):
            raise Wrong(415, "unknown encoding")
        try:
            return gzip.decompress(body) if kind == "gzip" else zlib.decompress(body) if kind else body
        except (OSError, EOFError, zlib.error) as exc:
            raise Wrong(400, str(exc)) from exc

    def _answer(self, method: str, parts: list[str], body: bytes) -> tuple[bytes, dict[str, str]]:
        faults = self.server.faults
        match method, parts:
            case "GET", ["v2", "health", ("live" | "ready") as word]:
                return b"" if "silent" in faults else json.dumps({word: True}).encode(), {}
            case "GET", ["v2"]:
                return json.dumps({"name": "small", "version": "1", "extensions": EXTENSIONS}).encode(), {}
            case "GET", ["v2", "models"]:
                return json.dumps({"models": ["double"]}).encode(), {}
            case "GET", ["v2", "models", name, *rest]:
                self._known(name, rest)
                if rest[-1:] == ["infer"]:
                    raise Wrong(405, "post it")
                metadata = {**DOUBLE, **self.server.odd()}
                return json.dumps({"ready": True} if rest[-1:] == ["ready"] else metadata).encode(), {}
            case "POST", ["v2", "models", name, *rest] if rest[-1:] == ["infer"]:
                self._known(name, rest)
                return self._infer(body)
        raise Wrong(404, "there is nothing there")

    def _known(self, name: str, rest: list[str]) -> None:
        if name != "double" or (rest[:1] == ["versions"] and rest[1] != "3"):
            raise Wrong(404 if "forgetful" not in self.server.faults else 500, "there is no such model")

    def _infer(self, body: bytes) -> tuple[bytes, dict[str, str]]:
        stated = self.headers.get("Inference-Header-Content-Length", str(len(body)))
        if not stated.isdecimal() or int(stated) > len(body):
            raise Wrong(400, "that is no length of the head")
        head = int(stated)
        if head == 0:
            raw = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": len(body)}}
            asked = {"inputs": [raw], "parameters": {"binary_data_output": True}}
        else:
            asked = self._read(body[:head])
        y = 2 * self._input(asked, body[head:])
        wanted = asked.get("outputs") or [{"name": "y"}]
        if not isinstance(wanted, list) or any(not isinstance(one, dict) or one.get("name") != "y" for one in wanted):
            raise Wrong(400, "the output is y")
        output: dict[str, Any] = {"name": "y", "datatype": "FP32", "shape": list(y.shape)}
        told: dict[str, Any] = {"model_name": "double", "model_version": "3", "outputs": [output]}
        if "id" in asked and "anonymous" not in self.server.faults:
            told["id"] = asked["id"]
        default = asked.get("parameters", {}).get("binary_data_output", False)
        if wanted[0].get("parameters", {}).get("binary_data", default):
            output["parameters"] = {"binary_data_size": y.nbytes}
            text, order = json.dumps(told).encode(), ">f4" if "big-endian" in self.server.faults else "<f4"
            return text + y.astype(order).tobytes(), {"Inference-Header-Content-Length": str(len(text))}
        output["data"] = y.ravel().tolist()
        return json.dumps(told).encode(), {}

    def _read(self, text: bytes) -> dict[str, Any]:
        def constant(word: str) -> Any:
            raise Wrong(400, f"{word} is no JSON")

        try:
            asked = json.loads(text, parse_constant=None if "lenient" in self.server.faults else constant)
        except (ValueError, RecursionError) as exc:
            raise Wrong(400, str(exc)[:80]) from exc
        if not isinstance(asked, dict) or not isinstance(asked.get("inputs"), list) or len(asked["inputs"]) != 1:
            raise Wrong(400, "there is one input")
        return asked

    def _input(self, asked: dict[str, Any], rest: bytes) -> np.ndarray:
        one = asked["inputs"][0]
        shape = one.get("shape") if isinstance(one, dict) else None
        sizes = isinstance(shape, list) and all(type(size) is int and 0 <= size < 1 << 20 for size in shape)
        if not sizes or len(shape) != 2 or shape[1] != 4 or one.get("name") != "x" or one.get("datatype") != "FP32":
            raise Wrong(400, "the input is x, FP32 [-1, 4]")
        size = one.get("parameters", {}).get("binary_data_size")
        if size is not None:
            if type(size) is not int or size != len(rest) or size != 4 * prod(shape):
                raise Wrong(400, "that is no size of the tensor")
            return np.frombuffer(rest, "<f4").reshape(shape)
        data = one.get("data")
        if not isinstance(data, list) or rest:
            raise Wrong(400, "there is no data")
        if any(isinstance(row, list) for row in data):
            data = [value for row in data for value in row]
        if len(data) != prod(shape) or any(type(value) not in (int, float) for value in data):
            raise Wrong(400, "the data do not fit")
        return np.array(data, np.float32).reshape(shape)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Small(ThreadingHTTPServer):
    """The server; `faults` is what it does wrong."""

    daemon_threads = True

    def __init__(self, faults: set[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults = faults

    def odd(self) -> dict[str, Any]:
        """What is wrong in the metadata."""
        if "shapeless" in self.faults:
            return {"inputs": [{"name": "x", "datatype": "FP32"}]}
        return {"versions": None} if "unversioned" in self.faults else {}


@contextlib.contextmanager
def small(*faults: str) -> Iterator[str]:
    """The URL of a server with these faults."""
    with Small(set(faults)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
