"""What answers in place of the model: a graph of an artefact, opened by its runtime."""

from __future__ import annotations

import abc
import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...errors import RunError, TorchportError, first_line
from ...feed import Arrays, Feed, FeedCheck, is_batched
from ...types import GraphFile, Signature, Used
from .adapt import from_native, greatest_batch, native_feed, sizes_of, spelled_alike


class Runner(abc.ABC):
    """An opened graph: a context manager that maps named numpy arrays to named numpy arrays.

    `run` may be called by any number of threads. Where the runtime itself takes one call at a time, they take turns.

    Attributes:
        signature: the graph's inputs and outputs, as captured.
        used: what really runs, read back from the runtime.

    Class attributes:
        concurrent: the runtime answers calls of several threads at once; `_run` is then called so.
    """

    concurrent: ClassVar[bool] = False
    _closed = False

    def __init__(
        self,
        signature: Signature,
        graph: GraphFile,
        folder: Path,
        *,
        device: str = "cpu",
        provider: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.signature = signature
        self.graph = graph
        self.device, self.provider, self.threads = device, provider, threads
        self.used = Used(library="none", version="0")
        self._turn = contextlib.nullcontext() if self.concurrent else threading.Lock()
        self._check = FeedCheck(signature)
        self._most = greatest_batch(signature.inputs, graph.io)
        self._as_is = all(spelled_alike(spec, graph.io[spec.name]) for spec in (*signature.inputs, *signature.outputs))
        self._open(folder / graph.entry)

    @abc.abstractmethod
    def _open(self, path: Path) -> None:
        """Load the entry file and set `used`."""

    @abc.abstractmethod
    def _run(self, feed: Arrays) -> Arrays:
        """Run on arrays keyed by the runtime's names, contiguous, in the runtime's dtypes; answer likewise."""

    def _close(self) -> None:  # noqa: B027 - most runtimes free their memory with the object
        """Release what `_open` took."""

    def _need_cpu(self, *, by: str | None = None) -> None:
        """Refuse another device than the CPU, and another provider than the one named; for `_open`.

        Raises:
            RunError: one was asked for.
        """
        if self.device != "cpu" or self.provider not in (None, by):
            where = "it runs on cpu" + (f", by {by}" if by else "")
            raise RunError(f"{type(self).__name__} has no {self.provider or self.device}", where)

    def _said(self, exc: Exception) -> str:
        """What the runtime failed with, in words for whoever called it."""
        return first_line(exc)

    def run(self, feed: Feed) -> Arrays:
        """Answer one call.

        Args:
            feed: every input of the signature, of its dtype and shape.

        Returns:
            Every output of the signature, of its dtype.

        Raises:
            BadInput: an array is missing, unknown, or of the wrong dtype or shape.
            RunError: the runtime failed on it.
        """
        batch = self._check(feed)
        try:
            parts = [self._call(part) for part in self._split(feed, batch)]
        except TorchportError:
            raise
        except Exception as exc:
            raise RunError(f"{type(self).__name__} failed on {shapes(feed)}: {self._said(exc)}") from exc
        return parts[0] if len(parts) == 1 else self._joined(parts)

    def close(self) -> None:
        """Release the runtime's memory, once the call under way is answered; further calls fail."""
        with self._turn:
            self._closed = True
            self._close()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _split(self, feed: Feed, batch: int | None) -> list[Feed]:
        """Cut a batch that is greater than the artefact takes into calls that it takes."""
        most = self._most
        if batch is None or most is None or batch <= most:
            return [feed]
        batched = {spec.name for spec in self.signature.inputs if is_batched(spec)}
        return [
            {name: array[i : i + most] if name in batched else array for name, array in feed.items()}
            for i in range(0, batch, most)
        ]

    def _joined(self, parts: Sequence[Arrays]) -> Arrays:
        """The answers to the parts of a batch as one; an output without a batch axis is that of the first part."""
        batched = {spec.name for spec in self.signature.outputs if is_batched(spec)}
        return {
            name: np.concatenate([part[name] for part in parts]) if name in batched else array
            for name, array in parts[0].items()
        }

    def _call(self, feed: Feed) -> Arrays:
        io = self.graph.io
        if self._as_is:
            native = {io[one.name].name: np.asarray(feed[one.name], order="C") for one in self.signature.inputs}
        else:
            native = native_feed(self.signature, io, feed)
        with self._turn:
            if self._closed:
                raise RunError(f"{type(self).__name__} is closed")
            answered = self._run(native)
        sizes, outputs = {} if self._as_is else sizes_of(self.signature, feed), {}
        for spec in self.signature.outputs:
            given = answered.get(io[spec.name].name)
            if given is None:
                raise RunError(f"the runtime gave no output '{io[spec.name].name}'", f"it gave {sorted(answered)}")
            due = len(spec.shape) - (io[spec.name].batch == "dropped")
            if np.ndim(given) != due:
                raise RunError(f"the runtime answers '{spec.name}' with {np.ndim(given)} axes, and it has {due}")
            if self._as_is:
                outputs[spec.name] = np.asarray(given, dtype=spec.dtype, order="C")
            else:
                outputs[spec.name] = from_native(spec, io[spec.name], np.asarray(given), sizes)
        return outputs


def shapes(feed: Feed) -> str:
    """A feed in words: names, dtypes and shapes."""
    return ", ".join(f"{name} {np.asarray(array).dtype}{list(np.asarray(array).shape)}" for name, array in feed.items())
