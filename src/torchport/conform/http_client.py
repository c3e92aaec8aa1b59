"""Plain HTTP requests, one connection each."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..errors import UsageError
from .verdicts import Differs, expect

LONGEST = 1 << 30


class Answer(NamedTuple):
    """One answer; headers by their lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; raises Differs."""
        return parsed(self.body, f"the answer {self.status}")

    def ok(self) -> Any:
        """The document of an answer that is exactly 200, which published clients ask for; raises Differs."""
        expect(self.status == 200, f"it answers {self.status}: {self.said()}")
        return self.json() if self.body else None

    def refused(self, *statuses: int) -> str:
        """The words of a refusal: one of the statuses, and `{"error": "..."}`; raises Differs."""
        wanted = " or ".join(map(str, statuses))
        expect(self.status in statuses, f"it answers {self.status} instead of {wanted}: {self.said()}")
        told = self.json()
        words = told.get("error") if isinstance(told, dict) else None
        expect(isinstance(words, str) and words, f'{self.status} comes without {{"error": "..."}}: {self.said()}')
        return str(words)

    def said(self) -> str:
        """The beginning of the body in one line."""
        return " ".join(self.body[:200].decode("utf-8", "replace").split())[:120] or "an empty body"


def parsed(text: bytes, of: str) -> Any:
    """A strict reading of JSON; raises Differs."""

    def constant(word: str) -> Any:
        raise ValueError(f"it holds {word}, which JSON does not have")

    try:
        return json.loads(text, parse_constant=constant)
    except (ValueError, RecursionError) as exc:
        raise Differs(f"{of} is no JSON: {str(exc)[:100]}") from exc


class Http:
    """A server by its URL.

    Raises:
        UsageError: the URL is none of HTTP.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            self.host, port = parts.hostname or "", parts.port
        except ValueError as exc:
            raise UsageError(f"{url}: {exc}", "give http://HOST:PORT") from exc
        if parts.scheme not in ("http", "https") or not self.host:
            raise UsageError(f"{url} is no URL of a server", "give http://HOST:PORT")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.port = port or (443 if parts.scheme == "https" else 8000)
        self._base, self._timeout_s = parts.path.rstrip("/"), timeout_s
        self.url = f"{parts.scheme}://{self.host}:{self.port}{self._base}"

    def ask(self, method: str, path: str, body: bytes | Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request; a body that is no bytes goes as JSON. Raises Differs where no answer comes."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            return self.open(method, path, sent, headers)
        except (OSError, http.client.HTTPException) as exc:
            raise Differs(f"{method} {path} is not answered: {type(exc).__name__} {exc}") from exc

    def open(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None) -> Answer:
        """As `ask`, with the errors of the library."""
        line = self._kind(self.host, self.port, timeout=self._timeout_s)
        try:
            line.request(method, f"{self._base}/{path}", body, dict(headers or {}))
            return answer_of(line.getresponse())
        finally:
            line.close()

    def claim(self, path: str, size: int) -> Answer:
        """The answer to a request that claims a body of that size and sends none of it; raises Differs."""
        line = self._kind(self.host, self.port, timeout=self._timeout_s)
        try:
            line.putrequest("POST", f"{self._base}/{path}")
            line.putheader("Content-Length", str(size))
            line.endheaders()
            return answer_of(line.getresponse())
        except (OSError, http.client.HTTPException) as exc:
            raise Differs(f"it waits for a body of {size:,} bytes: {type(exc).__name__} {exc}") from exc
        finally:
            line.close()


def answer_of(found: http.client.HTTPResponse) -> Answer:
    """An answer, whole."""
    headers = {name.lower(): value for name, value in found.getheaders()}
    return Answer(found.status, headers, found.read(LONGEST))
