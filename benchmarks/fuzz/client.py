"""A client that sends anything, and reads what comes back as strictly as it can."""

from __future__ import annotations

import json
import socket
import time
from typing import NamedTuple

from valid import Hostile

LIMIT_S = 25.0
"""How long an answer may take: what never comes is a hang. A body that does not come is waited for for 20 s."""

REFUSED = {501, 503, *range(400, 500)}


class Ended(NamedTuple):
    """How a request ended: its status, 0 where the server hung up; what is wrong with that; seconds."""

    family: str
    status: int
    wrong: str
    seconds: float


class Client:
    """One connection at a time, made anew where the server ends it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._line: socket.socket | None = None

    def send(self, one: Hostile) -> Ended:
        """Send a request as it is, and judge the answer."""
        if one.loose:
            self.close()
        fresh = self._line is None
        began = time.perf_counter()
        status, head, body, why = self._exchange(one)
        if status == 0 and not fresh and not one.loose:  # the connection was at its end: that is no answer to this one
            self.close()
            status, head, body, why = self._exchange(one)
        spent = time.perf_counter() - began
        if one.loose or status == 0 or b"connection: close" in head:
            self.close()
        return Ended(one.family, status, judged(one, status, head, body, why), spent)

    def close(self) -> None:
        """End the connection."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _exchange(self, one: Hostile) -> tuple[int, bytes, bytes, str]:
        try:
            if self._line is None:
                self._line = socket.create_connection(("127.0.0.1", self._port), timeout=LIMIT_S)
                self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._line.sendall(one.sent)
        except TimeoutError:
            return 0, b"", b"", "the server reads nothing"
        except ConnectionRefusedError:
            return 0, b"", b"", "the server is gone"
        except OSError:
            pass  # it may have answered before all was sent
        try:
            return *answer(self._line, head_only=one.sent.startswith(b"HEAD ")), ""  # type: ignore[arg-type]
        except TimeoutError:
            return 0, b"", b"", "no answer comes"
        except (OSError, ValueError) as exc:
            return 0, b"", b"", "" if isinstance(exc, OSError) else f"no HTTP: {exc}"


def answer(line: socket.socket, *, head_only: bool = False) -> tuple[int, bytes, bytes]:
    """Status, head and body; raises OSError where the server hangs up, ValueError where it is no HTTP."""
    read = bytearray()
    while True:
        while (end := read.find(b"\r\n\r\n")) < 0:
            _more(line, read)
        head = bytes(read[:end]).lower()
        status = int(head[9:12])
        del read[: end + 4]
        if status >= 200:
            break
    if head_only:
        return status, head, b""
    if b"transfer-encoding: chunked" in head:
        body = bytearray()
        while True:
            while (end := read.find(b"\r\n")) < 0:
                _more(line, read)
            size = int(read[:end], 16)
            while len(read) < end + 4 + size:
                _more(line, read)
            body += read[end + 2 : end + 2 + size]
            del read[: end + 4 + size]
            if not size:
                return status, head, bytes(body)
    begin = head.find(b"content-length: ")
    length = int(head[begin + 16 :].partition(b"\r\n")[0]) if begin >= 0 else 0
    while len(read) < length:
        _more(line, read)
    return status, head, bytes(read[:length])


def _more(line: socket.socket, read: bytearray) -> None:
    part = line.recv(1 << 16)
    if not part:
        raise ConnectionError
    read += part


def judged(one: Hostile, status: int, head: bytes, body: bytes, why: str) -> str:
    """What is wrong with an answer; empty where it is right."""
    if why:
        return why
    if status == 0:
        return "" if one.loose else "the server hung up"
    if status in (200, 204):
        return ""
    if status not in REFUSED:
        return f"{status}: {body[:200]!r}"
    if one.loose:
        return ""
    try:
        told = json.loads(body)
    except ValueError:
        return f"{status} comes without JSON: {body[:100]!r}"
    error = told.get("error") if isinstance(told, dict) else None
    if not isinstance(error, str) or not error:
        return f"{status} comes without an error: {body[:100]!r}"
    return "" if "Traceback" not in error and len(error) < 4000 else f"{status} says too much: {error[:200]}"
