"""Streams of input over a WebSocket: frames of a game, chunks of speech, each answered as it comes."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np

from ..errors import BadInput
from ..tasks import Session
from .app import App, refusal
from .faces import RawFace
from .messages import Refused

MOST = 64
"""Sessions of one server at a time."""

IDLE_S = 300.0
"""A session that is silent for so long is closed."""

_encoder = msgspec.json.Encoder()


class Sessions:
    """The sessions under way.

    A client sends each piece as a binary message: a picture, or speech as 16-bit little-endian samples at the model's
    rate. Each is answered by a text message with what is known so far. The text message `finish` is answered by the
    result of everything, after which the server closes. A piece that is none is answered by `{"error": ...}`, and the
    session goes on.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.under_way = 0

    async def run(self, model: str, protocol: Any) -> None:
        """Serve one session from its first message to its last."""
        transport = await protocol.accept()
        self.under_way += 1
        try:
            face = self._face(model)
            await self._answer(face, face.loaded.predictor.session(), transport)
        except Exception as exc:
            await _send(transport, {"error": refusal(exc).message})
        finally:
            self.under_way -= 1
            protocol.close(1000)

    def _face(self, model: str) -> RawFace:
        self._app.need_open()
        if self.under_way > MOST:
            raise Refused(429, f"{MOST} sessions are under way already; try again later")
        return self._app.raw_face(model)

    async def _answer(self, face: RawFace, session: Session, transport: Any) -> None:
        sound = ".wav" in face.loaded.predictor.pipeline.task.suffixes
        while True:
            try:
                message = await asyncio.wait_for(transport.receive(), IDLE_S)
            except TimeoutError:
                await _send(transport, {"error": f"nothing came for {IDLE_S:.0f} s"})
                return
            if message.kind == 0:  # the client closed
                return
            if message.kind == 2:
                if message.data != "finish":
                    await _send(transport, {"error": "a text message is finish, and nothing else"})
                    continue
                await _send(transport, await asyncio.to_thread(self._call, face, session.finish))
                return
            try:
                piece = samples(message.data) if sound else message.data
                await _send(transport, await asyncio.to_thread(self._call, face, session.push, piece))
            except BadInput as exc:
                await _send(transport, {"error": exc.line})

    def _call(self, face: RawFace, call: Any, *words: Any) -> dict[str, Any]:
        """One call of the session, with its model kept open."""
        face.loaded.enter()
        try:
            made: dict[str, Any] = call(*words)
            return made
        finally:
            face.loaded.leave()


def samples(content: bytes) -> np.ndarray:
    """16-bit little-endian samples as floats in -1..1; raises BadInput where a sample is cut in two."""
    if len(content) % 2:
        raise BadInput(f"{len(content)} bytes are no 16-bit samples", "send two bytes a sample, little-endian")
    return np.frombuffer(content, "<i2").astype(np.float32) / 32768


async def _send(transport: Any, document: dict[str, Any]) -> None:
    await transport.send_str(_encoder.encode(document).decode())
