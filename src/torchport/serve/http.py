"""The REST form of the protocol and of raw inputs: from a method, a path and a body to a status and a body."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec

from ..errors import BadInput
from . import metrics, rest
from .app import App, refusal
from .messages import Refused
from .model_config import config
from .raw_bodies import facts_of, raw_of
from .server_settings import trace

JSON = ("content-type", "application/json")

_encoder = msgspec.json.Encoder()


class Call(NamedTuple):
    """One HTTP request, whole.

    Attributes:
        path: as it was sent, without the query.
        headers: by lower-case name.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Http:
    """Routes of the server; `handle` never raises."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._fixed: dict[tuple[str, str], Callable[[Call], Awaitable[Reply]]] = {
            ("GET", "v2"): self._server,
            ("GET", "v2/health/live"): self._live,
            ("GET", "v2/health/ready"): self._ready,
            ("GET", "v2/models"): self._models,
            ("GET", "v2/models/stats"): self._all_statistics,
            ("POST", "v2/repository/index"): self._index,
            ("GET", "metrics"): self._metrics,
        }

    async def handle(self, call: Call) -> Reply:
        """Answer one request."""
        try:
            return await self._route(call)
        except Exception as exc:
            refused = refusal(exc)
            body = _encoder.encode({"error": refused.message})
            return Reply(refused.status, [JSON, *((name.lower(), value) for name, value in refused.headers)], body)

    async def _route(self, call: Call) -> Reply:
        path = call.path.strip("/")
        fixed = self._fixed.get((call.method, path))
        if fixed is not None:
            return await fixed(call)
        parts = [unquote(part) for part in path.split("/")]
        match parts:
            case ["v2", "models", model, *rest_of] if rest_of[:1] != ["versions"] or len(rest_of) >= 2:
                version = rest_of[1] if rest_of[:1] == ["versions"] else ""
                return await self._model(call, model, version, rest_of[2:] if version else rest_of)
            case ["v2", ("systemsharedmemory" | "cudasharedmemory") as kind, *words]:
                return self._memory(call, kind, words)
            case ["v2", "logging"]:
                return self._logging(call)
            case ["v2", "trace", "setting"]:
                return self._trace(call)
            case ["v2", "repository", "models", model, ("load" | "unload") as verb]:
                _need(call, "POST")
                return await self._change(call, model, verb)
        known = {method for method, place in self._fixed if place == path}
        if known:
            raise Refused(405, f"{call.method[:20]} is not for /{path[:100]}", (("Allow", ", ".join(sorted(known))),))
        raise Refused(404, f"there is nothing at /{path[:200]}")

    async def _model(self, call: Call, model: str, version: str, verb: list[str]) -> Reply:
        match verb:
            case ["infer"]:
                _need(call, "POST")
                return await self._infer(call, model, version)
            case ["predict"]:
                _need(call, "POST")
                return await self._predict(call, model, version)
            case []:
                _need(call, "GET")
                return _json(self.app.repository.face(model, version).metadata())
            case ["ready"]:
                _need(call, "GET")
                face = self.app.repository.face(model, version)
                if self.app.draining:
                    raise Refused(503, "the server is shutting down")
                return _json({"name": face.name, "ready": True})
            case ["config"]:
                _need(call, "GET")
                return _json(config(self.app.repository.face(model, version)))
            case ["trace", "setting"]:
                self.app.repository.face(model, version)
                return self._trace(call)
            case ["stats"]:
                _need(call, "GET")
                face = self.app.repository.face(model, version)
                return _json({"model_stats": [face.statistics()]})
        raise Refused(404, f"a model has no {'/'.join(verb)[:100]}")

    async def _infer(self, call: Call, model: str, version: str) -> Reply:
        self._open()
        body = decompressed(call, self.app.settings.most_bytes)
        self.app.repository.face(model, version)  # an unknown model before the body is read
        request = rest.decode(model, version, body, _head(call), self.app.regions.read)
        response = self.app.infer_now(request) or await self.app.infer(request)
        self.app.deliver(request, response)
        head, answer = rest.encode(response, request)
        if head is None:
            return _compressed(call, Reply(200, [JSON], answer))
        headers = [("content-type", "application/octet-stream"), ("inference-header-content-length", str(head))]
        return _compressed(call, Reply(200, headers, answer))

    async def _predict(self, call: Call, model: str, version: str) -> Reply:
        self._open()
        face = self.app.raw_face(model, version)
        body = decompressed(call, self.app.settings.most_bytes)
        raw = raw_of(call.headers.get("content-type", ""), body, face)
        facts = facts_of(parse_qsl(call.query, max_num_fields=64), face)
        result = await self.app.predict(model, raw, facts, version=version)
        return _compressed(call, _json({"ok": True, **result}))

    async def _change(self, call: Call, model: str, verb: str) -> Reply:
        if not self.app.settings.loading:
            raise Refused(403, "models cannot be loaded here", ())
        given = _parameters(call.body)
        if any(name == "config" or name.startswith("file:") for name in given):
            raise Refused(400, "a model's files and configuration are not taken from a request; change its Bundle")
        change = self.app.repository.load if verb == "load" else self.app.repository.unload
        await asyncio.to_thread(change, model)
        return _json({})

    def _memory(self, call: Call, kind: str, words: list[str]) -> Reply:
        """The protocol's extension of shared memory."""
        regions = self.app.regions
        match words:
            case ["status"] | ["region", _, "status"]:
                _need(call, "GET")
                found = regions.status(words[1] if len(words) > 1 else "") if kind == "systemsharedmemory" else []
                return _json([one.told() for one in found])
            case ["unregister"] | ["region", _, "unregister"]:
                _need(call, "POST")
                if kind == "systemsharedmemory":
                    regions.unregister(words[1] if len(words) > 1 else "")
                return _json({})
            case ["region", name, "register"]:
                _need(call, "POST")
                if kind != "systemsharedmemory":
                    raise Refused(501, "this server does not map the memory of a GPU")
                asked = _typed(call.body, _Region)
                regions.register(name, asked.key, asked.offset, asked.byte_size)
                return _json({})
        raise Refused(404, f"{kind} has no {'/'.join(words)[:100]}")

    def _logging(self, call: Call) -> Reply:
        settings = self.app.log_settings
        return _json(settings.change(_object(call.body)) if call.method == "POST" else settings.read())

    def _trace(self, call: Call) -> Reply:
        return _json(trace(_object(call.body) if call.method == "POST" else {}))

    async def _server(self, call: Call) -> Reply:
        return _json(self.app.metadata())

    async def _live(self, call: Call) -> Reply:
        return _json({"live": True})

    async def _ready(self, call: Call) -> Reply:
        ready = self.app.ready()
        return _json({"ready": ready}, 200 if ready else 503)

    async def _models(self, call: Call) -> Reply:
        return _json({"models": [face.name for face in self.app.repository.faces]})

    async def _all_statistics(self, call: Call) -> Reply:
        return _json({"model_stats": [face.statistics() for face in self.app.repository.faces]})

    async def _index(self, call: Call) -> Reply:
        ready = bool(_object(call.body).get("ready", False))
        return _json(self.app.repository.index(ready=ready))

    async def _metrics(self, call: Call) -> Reply:
        kind, body = metrics.text(self.app)
        return Reply(200, [("content-type", kind)], body)

    def _open(self) -> None:
        if self.app.draining:
            raise Refused(503, "the server is shutting down", (("Retry-After", "1"), ("Connection", "close")))


def _need(call: Call, method: str) -> None:
    if call.method != method:
        raise Refused(405, f"{call.method[:20]} is not for this path", (("Allow", method),))


def _json(document: Any, status: int = 200) -> Reply:
    return Reply(status, [JSON], _encoder.encode(document))


class _Region(msgspec.Struct):
    """Where a region of shared memory lies."""

    key: str
    byte_size: int
    offset: int = 0


T = TypeVar("T")


def _typed(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise BadInput(f"the body is not as the protocol has it: {str(exc)[:200]}") from exc


def _object(body: bytes) -> dict[str, Any]:
    """A JSON object, or nothing at all."""
    return _typed(body, dict[str, Any]) if body else {}


def _parameters(body: bytes) -> dict[str, Any]:
    given = _object(body).get("parameters", {})
    if not isinstance(given, dict):
        raise BadInput("parameters is no object")
    return given


def _head(call: Call) -> int | None:
    """How many bytes of the body are JSON."""
    stated = call.headers.get("inference-header-content-length")
    if stated is None:
        return None
    if not (stated.isascii() and stated.isdecimal() and len(stated) < 16):
        raise BadInput(f"Inference-Header-Content-Length is {stated[:40]!r}", "it is a number of bytes")
    return int(stated)


def decompressed(call: Call, most: int) -> bytes:
    """The body without its Content-Encoding.

    Raises:
        Refused: 413 where it is more than `most` bytes; 415 where the encoding is unknown.
        BadInput: it is not compressed so.
    """
    encoding = call.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return call.body
    if encoding not in ("gzip", "deflate"):
        raise Refused(415, f"the Content-Encoding {encoding[:40]!r} is not taken; send gzip or deflate")
    inflater = zlib.decompressobj(31 if encoding == "gzip" else 15)
    try:
        body = inflater.decompress(call.body, most + 1)
    except zlib.error as exc:
        raise BadInput(f"the body is not {encoding}: {exc}") from exc
    if len(body) > most or inflater.unconsumed_tail:
        raise Refused(413, f"the body is more than {most:,} bytes when decompressed")
    if not inflater.eof:
        raise BadInput(f"the body is not {encoding}: it ends early")
    return body


def _compressed(call: Call, reply: Reply) -> Reply:
    """The answer as the client asks for it; short ones stay as they are."""
    accepted = call.headers.get("accept-encoding")
    if accepted is None or len(reply.body) < 1024:
        return reply
    names = [one.partition(";")[0].strip().lower() for one in accepted.split(",")]
    if "gzip" in names:
        return reply._replace(headers=[*reply.headers, ("content-encoding", "gzip")], body=gzip.compress(reply.body, 1))
    if "deflate" in names:
        return reply._replace(
            headers=[*reply.headers, ("content-encoding", "deflate")], body=zlib.compress(reply.body, 1)
        )
    return reply
