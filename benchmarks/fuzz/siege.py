"""Send many hostile requests to a server that runs, and gather how they ended."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from random import Random
from threading import Event, Thread

from client import Client, Ended
from grpc_client import GrpcClient
from hostile import hostile
from valid import Hostile, http, tensor

GRPC_SHARE = 0.15
MOST_WRONG = 40
"""Wrong answers of one worker that are kept in words."""

_GOOD = {"inputs": [tensor(f"INPUT{i}", "INT32", [1, 16], [i + 2] * 16) for i in (0, 1)]}
GOOD = Hostile("valid", http("/v2/models/simple/infer", json.dumps(_GOOD).encode()))
EVERY = 500
"""Hostile requests between two valid ones."""


@dataclass
class Seen:
    """How requests ended: by family and status, the slowest by family, and what was wrong."""

    ended: Counter[tuple[str, int]] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    wrong: list[tuple[int, str, str]] = field(default_factory=list)
    wrongs: int = 0

    def add(self, number: int, one: Ended) -> None:
        """Count one; its number makes it again."""
        self.ended[one.family, one.status] += 1
        self.slowest[one.family] = max(self.slowest.get(one.family, 0.0), one.seconds)
        if one.wrong:
            self.wrongs += 1
            if len(self.wrong) < MOST_WRONG:
                self.wrong.append((number, one.family, one.wrong))

    def join(self, other: Seen) -> None:
        """Take another's into this."""
        self.ended += other.ended
        self.wrong += other.wrong
        self.wrongs += other.wrongs
        for family, seconds in other.slowest.items():
            self.slowest[family] = max(self.slowest.get(family, 0.0), seconds)


def send(port: int, grpc_port: int, seed: int, begin: int, end: int, until: float) -> Seen:
    """Send the requests of these numbers, one after the other, until a time."""
    seen, http_client, grpc_client = Seen(), Client(port), GrpcClient(grpc_port)
    for number in range(begin, end):
        random = Random(f"{seed}/{number}")  # noqa: S311 - each request by its number alone
        if random.random() < GRPC_SHARE:
            seen.add(number, grpc_client.send(random))
        else:
            seen.add(number, http_client.send(hostile(random)))
        if number % EVERY == 0:
            told = http_client.send(GOOD)
            seen.add(number, told if told.status == 200 else told._replace(wrong="a valid request fails"))
            if time.time() > until:
                break
    http_client.close()
    grpc_client.close()
    return seen


def besiege(
    port: int, grpc_port: int, *, seed: int, count: int, workers: int, until: float, begin: int = 0
) -> Iterator[Seen]:
    """The same by several processes; what each part of the numbers gave, as it comes."""
    size = max(EVERY, min(10_000, count // workers))
    parts = [(at, min(at + size, begin + count)) for at in range(begin, begin + count, size)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_part, [(port, grpc_port, seed, *one, until) for one in parts])


def _part(words: tuple[int, int, int, int, int, float]) -> Seen:
    return send(*words) if time.time() < words[-1] else Seen()


@contextmanager
def dripping(port: int, lines: int) -> Iterator[list[str]]:
    """Hold connections that send a byte a second, of heads and of bodies; the list tells which the server let be."""
    stop, told = Event(), list[str]()
    threads = [Thread(target=_drip, args=(port, number, stop, told), daemon=True) for number in range(lines)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        stop.set()
        for thread in threads:
            thread.join()


PATIENCE_S = 40.0


def _drip(port: int, number: int, stop: Event, told: list[str]) -> None:
    text = b"POST /v2/models/simple/infer HTTP/1.1\r\nHost: x\r\n"
    text += b"Content-Length: 5000\r\n\r\n" if number % 2 else b"X: "
    while not stop.is_set():
        began = time.monotonic()
        try:
            line = socket.create_connection(("127.0.0.1", port))
        except OSError:
            return  # the server is gone, which the others tell
        with line:
            line.settimeout(1.0)
            line.sendall(text)
            while not stop.is_set():
                try:
                    line.sendall(b"x")
                    line.recv(1000)
                    break  # it answers, or hangs up
                except TimeoutError:
                    if time.monotonic() - began > PATIENCE_S:
                        told.append(f"a {'body' if number % 2 else 'head'} of a byte a second is taken for ever")
                        break
                except OSError:
                    break


def memory_mb(process: int) -> float:
    """What a process holds alone, and its part of what it shares (PSS)."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
