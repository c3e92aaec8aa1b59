"""A recording of any length, or one that is still going on, by windows of a model: gated by loudness, cut in pauses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import BadInput, UsageError
from ..calls import Calling, shown
from . import voice


@dataclass(frozen=True)
class Segment:
    """What was said from `start` to `end`, in seconds; the text with the spaces around it that join it to the next."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Heard:
    """What one window holds: segments in seconds from its start, and how many samples they settle; None: all of
    them.
    """

    segments: list[Segment] = field(default_factory=list)
    used: int | None = None


Hear = Callable[[np.ndarray, bool], Calling[str, Heard]]
"""Hears float32 [samples] of at most a window, and whether more follows; yields calls of graphs, and the text so far.
"""

Hearing = Calling[str, None]
"""Yields calls of graphs, and all of the text so far."""


class Listener:
    """Takes samples as they come and holds what was heard; memory is bounded by two windows.

    Args:
        hear: the model.
        rate: samples in a second.
        window: the most samples that `hear` takes.
        silence: decibels below full scale; a window in which nothing is louder is passed over.
        stamped: the model says itself how far it understood, so that windows are not cut in pauses.
    """

    def __init__(self, hear: Hear, rate: int, window: int, silence: float, *, stamped: bool = False) -> None:
        self._hear, self._rate, self._window, self._silence, self._stamped = hear, rate, window, silence, stamped
        self._settled = 0
        self.pending = np.empty(0, np.float32)
        self.segments: list[Segment] = []

    @property
    def text(self) -> str:
        """What was heard for good."""
        return "".join(segment.text for segment in self.segments)

    @property
    def seconds(self) -> float:
        """How much was taken in."""
        return (self._settled + len(self.pending)) / self._rate

    def take(self, samples: np.ndarray) -> Hearing:
        """More samples; full windows are heard at once."""
        for start in range(0, len(samples), self._window):
            self.pending = np.concatenate([self.pending, samples[start : start + self._window]])
            while len(self.pending) > self._window:
                yield from self._settle(more=True)

    def flush(self) -> Hearing:
        """Hear what is pending, for good."""
        while len(self.pending):
            yield from self._settle(more=False)

    def glance(self) -> Calling[str, str]:
        """Returns the text with what is pending as it is understood now, without settling it."""
        if voice.bounds(self.pending, self._rate, self._silence) is None:
            return self.text
        heard = yield from self._hear(self.pending, False)
        return self.text + "".join(segment.text for segment in heard.segments)

    def paused(self, seconds: float) -> bool:
        """Whether somebody has spoken since the last settled sample, and then not for this long."""
        spoken = voice.bounds(self.pending, self._rate, self._silence)
        return spoken is not None and len(self.pending) / self._rate - spoken[1] >= seconds

    def _settle(self, *, more: bool) -> Hearing:
        block = self.pending[: self._window]
        if more and not self._stamped:
            block = block[: voice.quietest(block, self._rate, self._window // 2)]
        heard, before = Heard(), self.text
        if voice.bounds(block, self._rate, self._silence) is not None:
            heard = yield from shown(self._hear(block, more), lambda text: before + text)
        offset = self._settled / self._rate
        self.segments += [Segment(offset + one.start, offset + one.end, one.text) for one in heard.segments]
        used = heard.used or len(block)
        self._settled += used
        self.pending = self.pending[used:].copy()


class Listening:
    """A session: chunks of speech in, the text so far out.

    What was said before a pause is settled as the pause comes; what is pending is heard again with every further
    second.

    Args:
        listener: takes the samples.
        finish: makes the calls of a generator, and gives what it returns.
        rate: samples in a second.
        present: makes the answer of the finished listener.
        pause, every: seconds.
    """

    def __init__(
        self,
        listener: Listener,
        rate: int,
        finish: Callable[[Calling[str, Any]], Any],
        present: Callable[[Listener], dict[str, Any]],
        *,
        pause: float = 0.8,
        every: float = 1.0,
    ) -> None:
        self._listener, self._rate, self._present, self._pause, self._every = listener, rate, present, pause, every
        self._finish = finish
        self._new = 0
        self._shown = ""
        self._done = False

    def push(self, chunk: Any) -> dict[str, Any]:
        """The next samples, floats [n] in -1..1 at the model's rate.

        Returns:
            `text`: all that is understood so far; `final`: the part of it that will not change.

        Raises:
            BadInput: the chunk is no such array, or holds NaN.
            UsageError: the session is finished.
        """
        if self._done:
            raise UsageError("the session is finished", "start another one")
        samples = np.asarray(chunk)
        if samples.ndim != 1 or samples.dtype.kind != "f" or not np.isfinite(samples).all():
            raise BadInput(
                f"a chunk is {samples.dtype.name}{list(samples.shape)}, or holds NaN",
                f"push float32 [samples] in -1..1, mono, {self._rate} Hz",
            )
        self._finish(self._listener.take(samples.astype(np.float32)))
        if not self._shown.startswith(self._listener.text):  # a full window was settled, otherwise than it looked
            self._shown = self._listener.text
        self._new += len(samples)
        if self._new >= self._every * self._rate:
            self._new = 0
            if self._listener.paused(self._pause):
                self._finish(self._listener.flush())
                self._shown = self._listener.text
            else:
                self._shown = self._finish(self._listener.glance())
        return {"text": self._shown.strip(), "final": self._listener.text.strip()}

    def finish(self) -> dict[str, Any]:
        """The presented result of everything pushed."""
        if not self._done:
            self._finish(self._listener.flush())
        self._done = True
        return self._present(self._listener)
