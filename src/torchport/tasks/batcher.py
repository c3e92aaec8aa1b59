"""A graph around a graph: calls of many threads that fit together become one call of the runtime."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TorchportError
from .batching import Key, batchable, run_together, shapes_of
from .calls import Arrays, Call

if TYPE_CHECKING:
    from .pipeline import OpenGraph


@dataclass
class _Request:
    feed: Arrays
    key: Key
    outputs: dict[str, np.ndarray] | None = None
    error: BaseException | None = None
    done: bool = False


@dataclass
class BatchingGraph:
    """Answers like the graph inside it; a chain cannot tell the two apart.

    The first of the waiting threads makes the call for all of them. A call that comes alone waits for nobody; once
    calls come together, the next one waits a moment for company.

    Attributes:
        inner: the opened graph, which is called by one thread at a time.
        most: items in one call, at most.
        wait_s: how long a call waits for company, at most, where the one before had some.
        calls: how often `inner` was called.
    """

    inner: OpenGraph
    most: int = 32
    wait_s: float = 0.002
    calls: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _waiting: list[_Request] = field(default_factory=list, repr=False)
    _leading: bool = False
    _company: bool = False

    def __post_init__(self) -> None:
        self.signature, self.graph = self.inner.signature, self.inner.graph
        self._together = batchable(self.signature)

    def run(self, feed: Arrays) -> dict[str, np.ndarray]:
        """As the graph inside; the errors of a call are those of its own feed alone.

        Raises:
            BadInput: the feed is not what the graph takes.
            RunError: the runtime failed on it.
        """
        arrays = {name: np.asarray(array) for name, array in feed.items()}
        mine = _Request(arrays, shapes_of(Call("", arrays)) if self._together else (object(),))
        with self._changed:
            self._waiting.append(mine)
            self._changed.notify_all()
            while self._leading and not mine.done:
                self._changed.wait()
            if not mine.done:
                self._leading = True
        if not mine.done:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        assert mine.outputs is not None, "a request that is done has outputs or an error"
        return mine.outputs

    def _lead(self, mine: _Request) -> None:
        """Make calls until this thread's own request is answered, then let another thread lead."""
        try:
            while not mine.done:
                group = self._gather()
                self._answer(group)
                with self._changed:
                    for one in group:
                        one.done = True
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._leading = False
                self._changed.notify_all()

    def _gather(self) -> list[_Request]:
        """The oldest request and those that fit it, as many as one call takes."""
        with self._changed:
            until = time.monotonic() + (self.wait_s if self._company else 0.0)
            while sum(map(_items, self._fitting())) < self.most and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            group: list[_Request] = []
            for one in self._fitting():
                if group and sum(map(_items, [*group, one])) > self.most:
                    break
                group.append(one)
            taken = set(map(id, group))
            self._waiting = [one for one in self._waiting if id(one) not in taken]
            self._company = len(group) > 1 or bool(self._waiting)
            return group

    def _fitting(self) -> list[_Request]:
        return [one for one in self._waiting if one.key == self._waiting[0].key]

    def _answer(self, group: Sequence[_Request]) -> None:
        if len(group) > 1:
            try:
                self.calls += 1
                for one, outputs in zip(group, run_together(self.inner, [one.feed for one in group]), strict=True):
                    one.outputs = outputs
                return
            except TorchportError:
                pass  # one of them is at fault: each by itself
        for one in group:
            try:
                self.calls += 1
                one.outputs = self.inner.run(one.feed)
            except Exception as exc:  # the caller's thread raises it
                one.error = exc


def _items(one: _Request) -> int:
    first: Any = next(iter(one.feed.values()), None)
    return len(first) if first is not None and first.ndim else 1
