"""Who may ask, and how much: keys, and limits for each client."""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from .messages import Refused

MOST_CLIENTS = 10_000
"""Clients that are remembered; the one that was silent longest is forgotten first."""

OPEN = ("v2/health/live", "v2/health/ready")
"""Paths that need no key and count for nobody: whatever starts and stops the server asks them."""


@dataclass
class _Client:
    """What one client has taken: requests under way, and what is left of its allowance."""

    left: float
    seen: float
    under_way: int = 0


class Guard:
    """Refuses a request before its body is read.

    Args:
        keys: any of them opens every path; none at all: no key is needed.
        rate: requests a second of one client; None is any number. A client that was silent may send twice as many at
            once.
        concurrent: requests of one client at a time; None is any number.
    """

    def __init__(self, keys: tuple[str, ...] = (), *, rate: float | None = None, concurrent: int | None = None) -> None:
        self._keys = tuple(key.encode() for key in keys)
        self._rate, self._concurrent = rate, concurrent
        self.limits = rate is not None or concurrent is not None
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to look at."""
        return not self._keys and not self.limits

    def need_key(self, headers: Mapping[str, str]) -> None:
        """See that a request has a key; raises Refused with 401."""
        if not self._keys:
            return
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        sent = given.encode()
        if sum(hmac.compare_digest(sent, key) for key in self._keys) == 0:  # each is compared, always
            raise Refused(401, "a key is needed: send it as Authorization: Bearer KEY", _BEARER)

    def enter(self, client: str) -> None:
        """Count a request of a client; raises Refused with 429 where it is one too many."""
        if not self.limits:
            return
        with self._lock:
            now = time.monotonic()
            one = self._clients.pop(client, None) or _Client(2 * (self._rate or 0), now)
            self._clients[client] = one
            while len(self._clients) > MOST_CLIENTS:
                self._clients.popitem(last=False)
            if self._concurrent is not None and one.under_way >= self._concurrent:
                raise Refused(429, f"{one.under_way} requests of this client are under way", (("Retry-After", "1"),))
            if self._rate is not None:
                one.left = min(2 * self._rate, one.left + (now - one.seen) * self._rate)
                one.seen = now
                if one.left < 1:
                    raise Refused(429, f"this client sends more than {self._rate:g} requests a second", _LATER)
                one.left -= 1
            one.under_way += 1

    def leave(self, client: str) -> None:
        """A request of a client was answered."""
        if not self.limits:
            return
        with self._lock:
            one = self._clients.get(client)
            if one is not None:
                one.under_way -= 1


_BEARER = (("WWW-Authenticate", "Bearer"),)
_LATER = (("Retry-After", "1"),)
