"""Calls of graphs as values: a chain and its drivers say what to call, and whoever walks them calls it.

So the same chain runs in one process, behind a batcher that fills a call with the feeds of many requests, or against
graphs elsewhere; and a request is cancelled by closing its generator.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")

Arrays = Mapping[str, np.ndarray]


class Call(NamedTuple):
    """Run the graph of that name on a feed, by the names of its signature; its outputs are sent back."""

    graph: str
    feed: Arrays


Calling = Generator[Call | S, Any, R]
"""Yields calls, each answered by the graph's outputs, and between them what can be shown already; returns the answer.
"""


def perform(running: Calling[S, R], call: Callable[[str, Arrays], dict[str, np.ndarray]]) -> Generator[S, None, R]:
    """Make the calls of a generator by `call(graph, feed)`; yields the rest, returns what it returns."""
    sent = None
    while True:
        try:
            one = running.send(sent)
        except StopIteration as done:
            answer: R = done.value
            return answer
        if isinstance(one, Call):
            sent = call(*one)
        else:
            sent = None
            yield one


def shown(running: Calling[S, R], show: Callable[[S], T | None]) -> Calling[T, R]:
    """The same calls, with what is shown between them changed; nothing is shown where `show` answers None."""
    sent = None
    while True:
        try:
            one = running.send(sent)
        except StopIteration as done:
            answer: R = done.value
            return answer
        if isinstance(one, Call):
            sent = yield one
        else:
            sent = None
            what = show(one)
            if what is not None:
                yield what


def exhaust(running: Generator[Any, None, R]) -> R:
    """What a generator returns, passing over what it yields."""
    while True:
        try:
            next(running)
        except StopIteration as done:
            answer: R = done.value
            return answer
