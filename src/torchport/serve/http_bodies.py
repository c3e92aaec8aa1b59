"""Bodies of HTTP: compressed ones, JSON objects, and one answer."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from ..errors import BadInput
from .messages import Refused

JSON = ("content-type", "application/json")

T = TypeVar("T")

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


class Stream(NamedTuple):
    """An HTTP answer whose body comes in parts."""

    status: int
    headers: list[tuple[str, str]]
    parts: AsyncGenerator[bytes, None]


def reply(document: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A document as JSON."""
    return Reply(status, [JSON, *headers], _encoder.encode(document))


def refused(exc: Refused, *more: tuple[str, str]) -> Reply:
    """A refusal as an answer, with further headers."""
    headers = (*more, *((name.lower(), value) for name, value in exc.headers))
    return reply({"error": exc.message}, exc.status, headers)


EVENTS = [("content-type", "text/event-stream"), ("cache-control", "no-store")]
"""Headers of a stream of server-sent events."""


def event(document: Any, kind: str | None = None) -> bytes:
    """A document as one server-sent event."""
    head = f"event: {kind}\n".encode() if kind else b""
    return head + b"data: " + _encoder.encode(document) + b"\n\n"


def read(body: bytes, kind: type[T]) -> T:
    """A body that is JSON of that type; raises BadInput where it is not."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise BadInput(f"the body is not as the protocol has it: {str(exc)[:200]}") from exc


def read_object(body: bytes) -> dict[str, Any]:
    """A body that is a JSON object, or nothing at all; raises BadInput."""
    return read(body, dict[str, Any]) if body else {}


def decompressed(call: Call, most: int) -> bytes:
    """The body without its Content-Encoding.

    Raises:
        Refused: 413 where it is more than `most` bytes; 415 where the encoding is unknown.
        BadInput: it is not compressed so.
    """
    stated = call.headers.get("content-encoding")
    encoding = stated.strip().lower() if stated else "identity"
    if encoding == "identity":
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


def compressed(call: Call, answer: Reply) -> Reply:
    """The answer as the client asks for it; short ones stay as they are."""
    accepted = call.headers.get("accept-encoding")
    if accepted is None or len(answer.body) < 1024:
        return answer
    names = [one.partition(";")[0].strip().lower() for one in accepted.split(",")]
    for name, squeeze in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        if name in names:
            headers = [*answer.headers, ("content-encoding", name)]
            return Reply(answer.status, headers, squeeze(answer.body, 1))
    return answer
