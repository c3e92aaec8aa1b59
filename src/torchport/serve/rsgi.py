"""The server's HTTP side on granian: bodies read within their limits, answers written, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from .guard import OPEN, Guard
from .http import Http
from .http_bodies import Call, Reply, Stream, refused
from .messages import Refused
from .sessions import Sessions

BODY_S = 20.0
"""How long a body may take to come, beside what its length takes at `SLOWEST`."""

SLOWEST = 256 << 10
"""Bytes a second of a client that is waited for."""

SWEEP_S = 1.0

ACCESS = logging.getLogger("torchport.access")


class Rsgi:
    """An RSGI application.

    Attributes:
        under_way: requests that are being answered.
        last: when the last request came, by `time.monotonic`.
    """

    def __init__(self, http: Http, most_bytes: int, guard: Guard | None = None) -> None:
        self._http, self._most, self._sessions = http, most_bytes, Sessions(http.app)
        self._guard = None if guard is None or guard.idle else guard
        self.under_way, self.last = 0, 0.0
        self._reading: dict[asyncio.Task[Any] | None, float] = {}  # until when each body has to be there
        self._sweeping = False

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request or refuse it."""
        if scope.proto != "http":
            await self._session(scope, protocol)
            return
        self.under_way += 1
        began = self.last = time.monotonic()
        try:
            reply = await self._answered(scope, protocol)
            if isinstance(reply, Stream):
                await _sent(reply, protocol)
            else:
                protocol.response_bytes(*reply)
            if ACCESS.isEnabledFor(logging.INFO):
                _note(scope, reply, began)
        finally:
            self.under_way -= 1

    async def _answered(self, scope: Any, protocol: Any) -> Reply | Stream:
        headers = dict(scope.headers.items())
        if self._guard is None or scope.path.strip("/") in OPEN:
            return await self._asked(scope, protocol, headers)
        client = scope.client.rpartition(":")[0]
        try:
            self._guard.need_key(headers)
            self._guard.enter(client)
        except Refused as exc:
            return _closing(exc)
        try:
            return await self._asked(scope, protocol, headers)
        finally:
            self._guard.leave(client)

    async def _asked(self, scope: Any, protocol: Any, headers: dict[str, str]) -> Reply | Stream:
        body = await self._body(headers, protocol)
        if isinstance(body, Reply):
            return body
        return await self._http.handle(Call(scope.method, scope.path, scope.query_string, headers, body))

    async def _session(self, scope: Any, protocol: Any) -> None:
        """A WebSocket, which is a session of a model."""
        match [unquote(part) for part in scope.path.strip("/").split("/")]:
            case ["v2", "models", model, "session"]:
                if self._guard is not None:
                    try:
                        self._guard.need_key(dict(scope.headers.items()))
                    except Refused as exc:
                        protocol.close(exc.status)
                        return
                await self._sessions.run(model, protocol)
            case _:
                protocol.close(404)

    async def _body(self, headers: dict[str, str], protocol: Any) -> bytes | Reply:
        """The whole body, or the refusal of one that is too long, or too long in coming."""
        stated = headers.get("content-length")
        if stated is not None:
            size = int(stated)  # the HTTP library has checked that it is a number
            if not 0 < size <= self._most:
                return self._too_long() if size else b""
        elif "transfer-encoding" not in headers:
            return b""
        else:
            size = self._most
        task = asyncio.current_task()
        self._reading[task] = self.last + BODY_S + size / SLOWEST
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        try:
            return await (self._parts(protocol) if stated is None else protocol())
        except asyncio.CancelledError:
            if task is None or self._reading[task] > time.monotonic():
                raise
            task.uncancel()
            return _closing(Refused(408, "the body did not come in time"))
        finally:
            del self._reading[task]

    async def _parts(self, protocol: Any) -> bytes | Reply:
        """A body whose length was not stated."""
        parts, length = [], 0
        async for part in protocol:
            length += len(part)
            if length > self._most:
                return self._too_long()
            parts.append(part)
        return b"".join(parts)

    def _too_long(self) -> Reply:
        return _closing(Refused(413, f"the body is more than {self._most:,} bytes"))

    def _sweep(self) -> None:
        """End what waits too long for a body. One look a second costs less than a timer for each request."""
        now = time.monotonic()
        for task, until in self._reading.items():
            if until <= now and task is not None:
                task.cancel()
        self._sweeping = bool(self._reading)
        if self._sweeping:
            asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)


def _closing(exc: Refused) -> Reply:
    """A refusal that ends the connection: what is left of the body is not read."""
    return refused(exc, ("connection", "close"))


def _note(scope: Any, reply: Reply | Stream, began: float) -> None:
    """One line of the access log, as JSON."""
    told = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "client": scope.client,
        "method": scope.method,
        "path": scope.path,
        "status": reply.status,
        "ms": round((time.monotonic() - began) * 1000, 3),
        "bytes": len(reply.body) if isinstance(reply, Reply) else None,
    }
    ACCESS.info(json.dumps(told))


async def _sent(reply: Stream, protocol: Any) -> None:
    """Send the parts of an answer until they end, or the client goes away: then nobody makes further ones."""
    transport = protocol.response_stream(reply.status, reply.headers)
    async with contextlib.aclosing(reply.parts) as parts:
        try:
            async for part in parts:
                await transport.send_bytes(part)
        except RuntimeError:  # what the HTTP library raises where nobody listens any more
            return
