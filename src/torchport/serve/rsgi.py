"""The server's HTTP side on granian: bodies read within their limits, answers written, nothing else."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import unquote

import msgspec

from .http import Http
from .http_bodies import JSON, Call, Reply, Stream
from .sessions import Sessions


class Rsgi:
    """An RSGI application.

    Attributes:
        under_way: requests that are being answered.
        last: when the last request came, by `time.monotonic`.
    """

    def __init__(self, http: Http, most_bytes: int) -> None:
        self._http, self._most, self._sessions = http, most_bytes, Sessions(http.app)
        self.under_way, self.last = 0, 0.0

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request or refuse it."""
        if scope.proto != "http":
            await self._session(scope, protocol)
            return
        self.under_way += 1
        self.last = time.monotonic()
        try:
            headers = dict(scope.headers.items())
            body = await self._body(headers, protocol)
            if body is None:
                reply: Reply | Stream = self._too_long()
            else:
                path, query = scope.path, scope.query_string
                reply = await self._http.handle(Call(scope.method, path, query, headers, body))
            if isinstance(reply, Stream):
                await _sent(reply, protocol)
            else:
                protocol.response_bytes(*reply)
        finally:
            self.under_way -= 1

    async def _session(self, scope: Any, protocol: Any) -> None:
        """A WebSocket, which is a session of a model."""
        match [unquote(part) for part in scope.path.strip("/").split("/")]:
            case ["v2", "models", model, "session"]:
                await self._sessions.run(model, protocol)
            case _:
                protocol.close(404)

    async def _body(self, headers: dict[str, str], protocol: Any) -> bytes | None:
        """The whole body; None where it is longer than the server takes."""
        stated = headers.get("content-length")
        if stated is not None:
            if int(stated) > self._most:  # the HTTP library has checked that it is a number
                return None
            whole: bytes = await protocol()
            return whole
        if "transfer-encoding" not in headers:
            return b""
        parts, length = [], 0
        async for part in protocol:
            length += len(part)
            if length > self._most:
                return None
            parts.append(part)
        return b"".join(parts)

    def _too_long(self) -> Reply:
        said = f"the body is more than {self._most:,} bytes"
        return Reply(413, [JSON, ("connection", "close")], msgspec.json.encode({"error": said}))


async def _sent(reply: Stream, protocol: Any) -> None:
    """Send the parts of an answer until they end, or the client goes away."""
    transport = protocol.response_stream(reply.status, reply.headers)
    try:
        async for part in reply.parts:
            await transport.send_bytes(part)
    except RuntimeError:  # what the HTTP library raises where nobody listens any more
        return
