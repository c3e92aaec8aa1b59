"""The REST form of the protocol and of raw inputs: from a method, a path and a body to a status and a body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

import msgspec

from ..errors import BadInput
from . import metrics, rest
from .app import App, Predicted, refusal
from .completions import Completions
from .http_bodies import (
    EVENTS,
    JSON,
    Call,
    Reply,
    Stream,
    compressed,
    decompressed,
    event,
    read,
    read_object,
    refused,
    reply,
)
from .messages import Refused
from .model_config import config
from .openapi import document
from .pages import page
from .raw_bodies import facts_of, raw_of
from .server_settings import trace

MOST_PATHS = 1024
"""Paths of inference that are known without being taken apart."""


class Http:
    """Routes of the server; `handle` never raises."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._completions = Completions(app)
        self._infers: dict[str, tuple[str, str]] = {}  # the paths that are asked for most, once they were answered
        self._fixed: dict[tuple[str, str], Callable[[Call], Awaitable[Reply]]] = {
            ("GET", "v2"): self._server,
            ("GET", "v2/health/live"): self._live,
            ("GET", "v2/health/ready"): self._ready,
            ("GET", "v2/models"): self._models,
            ("GET", "v2/models/stats"): self._all_statistics,
            ("POST", "v2/repository/index"): self._index,
            ("GET", "metrics"): self._metrics,
            ("GET", "openapi.json"): self._openapi,
        }

    async def handle(self, call: Call) -> Reply | Stream:
        """Answer one request."""
        try:
            infer = self._infers.get(call.path)
            if infer is not None and call.method == "POST":
                return await self._infer(call, *infer)
            return await self._route(call)
        except Exception as exc:
            return refused(refusal(exc))

    async def _route(self, call: Call) -> Reply | Stream:
        path = call.path.strip("/")
        fixed = self._fixed.get((call.method, path))
        if fixed is not None:
            return await fixed(call)
        found = page(path) if call.method == "GET" else None
        if found is not None:
            return Reply(200, *found)
        parts = [unquote(part) for part in path.split("/")]
        match parts:
            case ["v2", "models", model, *rest_of] if rest_of[:1] != ["versions"] or len(rest_of) >= 2:
                version = rest_of[1] if rest_of[:1] == ["versions"] else ""
                return await self._model(call, model, version, rest_of[2:] if version else rest_of)
            case ["v2", ("systemsharedmemory" | "cudasharedmemory") as kind, *words]:
                return self._memory(call, kind, words)
            case ["v1", *words]:
                self.app.need_open()
                return await self._completions.handle(call, words)
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

    async def _model(self, call: Call, model: str, version: str, verb: list[str]) -> Reply | Stream:
        match verb:
            case ["infer"]:
                _need(call, "POST")
                return await self._infer(call, model, version)
            case ["predict"]:
                _need(call, "POST")
                return await self._predict(call, model, version)
            case []:
                _need(call, "GET")
                return reply(self.app.repository.face(model, version).metadata())
            case ["ready"]:
                _need(call, "GET")
                face = self.app.repository.face(model, version)
                if self.app.draining:
                    raise Refused(503, "the server is shutting down")
                return reply({"name": face.name, "ready": True})
            case ["config"]:
                _need(call, "GET")
                return reply(config(self.app.repository.face(model, version)))
            case ["trace", "setting"]:
                _need(call, "GET", "POST")
                self.app.repository.face(model, version)
                return self._trace(call)
            case ["stats"]:
                _need(call, "GET")
                face = self.app.repository.face(model, version)
                return reply({"model_stats": [face.statistics()]})
        raise Refused(404, f"a model has no {'/'.join(verb)[:100]}")

    async def _infer(self, call: Call, model: str, version: str) -> Reply:
        self.app.need_open()
        face = self.app.repository.face(model, version)  # an unknown model before the body is read
        body = decompressed(call, self.app.settings.most_bytes)
        if (length := _head(call)) == 0:
            request = rest.decode_raw(model, version, body, face.inputs)
        else:
            request = rest.decode(model, version, body, length, self.app.regions.read)
        response = self.app.infer_now(request) or await self.app.infer(request)
        if request.outputs is not None:
            self.app.deliver(request, response)
        head, answer = rest.encode(response, request)
        if len(self._infers) < MOST_PATHS:
            self._infers[call.path] = (model, version)
        if head is None:
            return compressed(call, Reply(200, [JSON], answer))
        headers = [("content-type", "application/octet-stream"), ("inference-header-content-length", str(head))]
        return compressed(call, Reply(200, headers, answer))

    async def _predict(self, call: Call, model: str, version: str) -> Reply | Stream:
        self.app.need_open()
        face = self.app.raw_face(model, version)
        body = decompressed(call, self.app.settings.most_bytes)
        raw = raw_of(call.headers.get("content-type", ""), body, face)
        facts = facts_of(parse_qsl(call.query, max_num_fields=64), face)
        accept = call.headers.get("accept", "")
        if accept.startswith("text/event-stream"):
            return Stream(200, EVENTS, self._events(model, raw, facts, version))
        if accept.startswith(("audio/", "image/")):
            return await self._drawn(model, raw, facts, version)
        answer = await self.app.predict(model, raw, facts, version=version)
        return compressed(call, reply({"ok": True, **answer.result}, headers=(("server-timing", answer.timing),)))

    async def _drawn(self, model: str, raw: bytes, facts: dict[str, str], version: str) -> Reply:
        """The answer as a file: speech as WAV, boxes in their picture."""
        answer = await self.app.predict(model, raw, facts, version=version, drawn=True)
        kinds = {".wav": "audio/wav", ".png": "image/png", ".jpg": "image/jpeg"}
        for suffix, content in answer.files.items():
            if suffix in kinds:
                return Reply(200, [("content-type", kinds[suffix]), ("server-timing", answer.timing)], content)
        raise Refused(406, f"the answers of {model} are JSON only")

    async def _events(self, model: str, raw: bytes, facts: dict[str, str], version: str) -> AsyncGenerator[bytes, None]:
        """Parts of the answer as they come, as server-sent events; the last is the whole of it, or the error."""
        try:
            async for part in self.app.stream(model, raw, facts, version=version):
                if isinstance(part, Predicted):
                    yield event({"ok": True, **part.result}, "result")
                else:
                    yield event(part)
        except Exception as exc:
            yield event({"error": refusal(exc).message}, "error")

    async def _change(self, call: Call, model: str, verb: Literal["load", "unload"]) -> Reply:
        self.app.need_loading()
        await asyncio.to_thread(self.app.change, model, verb, _parameters(call.body))
        return reply({})

    def _memory(self, call: Call, kind: str, words: list[str]) -> Reply:
        """The protocol's extension of shared memory."""
        regions = self.app.regions
        match words:
            case ["status"] | ["region", _, "status"]:
                _need(call, "GET")
                found = regions.status(words[1] if len(words) > 1 else "") if kind == "systemsharedmemory" else []
                return reply([one.told() for one in found])
            case ["unregister"] | ["region", _, "unregister"]:
                _need(call, "POST")
                if kind == "systemsharedmemory":
                    regions.unregister(words[1] if len(words) > 1 else "")
                return reply({})
            case ["region", name, "register"]:
                _need(call, "POST")
                if kind != "systemsharedmemory":
                    raise Refused(501, "this server does not map the memory of a GPU")
                asked = read(call.body, _Region)
                regions.register(name, asked.key, asked.offset, asked.byte_size)
                return reply({})
        raise Refused(404, f"{kind} has no {'/'.join(words)[:100]}")

    def _logging(self, call: Call) -> Reply:
        _need(call, "GET", "POST")
        settings = self.app.log_settings
        return reply(settings.change(read_object(call.body)) if call.method == "POST" else settings.read())

    def _trace(self, call: Call) -> Reply:
        _need(call, "GET", "POST")
        return reply(trace(read_object(call.body) if call.method == "POST" else {}))

    async def _server(self, call: Call) -> Reply:
        return reply(self.app.metadata())

    async def _live(self, call: Call) -> Reply:
        return reply({"live": True})

    async def _ready(self, call: Call) -> Reply:
        ready = self.app.ready()
        return reply({"ready": ready}, 200 if ready else 503)

    async def _openapi(self, call: Call) -> Reply:
        return reply(document())

    async def _models(self, call: Call) -> Reply:
        return reply({"models": [face.name for face in self.app.repository.faces]})

    async def _all_statistics(self, call: Call) -> Reply:
        return reply({"model_stats": [face.statistics() for face in self.app.repository.faces]})

    async def _index(self, call: Call) -> Reply:
        ready = bool(read_object(call.body).get("ready", False))
        return reply(self.app.repository.index(ready=ready))

    async def _metrics(self, call: Call) -> Reply:
        kind, body = metrics.text(self.app)
        return Reply(200, [("content-type", kind)], body)


def _need(call: Call, *methods: str) -> None:
    if call.method not in methods:
        raise Refused(405, f"{call.method[:20]} is not for this path", (("Allow", ", ".join(methods)),))


class _Region(msgspec.Struct):
    """Where a region of shared memory lies."""

    key: str
    byte_size: int
    offset: int = 0


def _parameters(body: bytes) -> dict[str, Any]:
    given = read_object(body).get("parameters", {})
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
