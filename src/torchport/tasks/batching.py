"""Many inputs through one chain: graphs that take batches get them, of inputs whose tensors have the same shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TorchportError
from ..feed import is_batched
from ..types import Signature
from .calls import Call, Calling
from .parts import Values

if TYPE_CHECKING:
    from .pipeline import OpenGraph, Pipeline

WINDOW = 16
"""How many batches of inputs are under way together, to find some of the same shape."""

MOST_BYTES = 256 << 20
"""Inputs under way hold about this much memory at most: the next is begun once some of it is free."""

Answer = Values | TorchportError
Key = tuple[Any, ...]


def batchable(signature: Signature) -> bool:
    """Whether a graph takes several items at once, and answers each of them."""
    return all(map(is_batched, (*signature.inputs, *signature.outputs)))


def shapes_of(call: Call) -> Key:
    """Equal for two calls that can be made as one: the graph, and the shape of every tensor but for its first
    dimension.
    """
    return (call.graph, *((name, array.dtype, np.shape(array)[1:]) for name, array in sorted(call.feed.items())))


def run_together(graph: OpenGraph, feeds: Sequence[Any]) -> list[dict[str, np.ndarray]]:
    """The outputs of each of several feeds, of one call: all tensors are joined along their first dimension.

    Raises:
        TorchportError: the graph refuses it, or fails.
    """
    sizes = [len(next(iter(feed.values()))) for feed in feeds]
    outputs = graph.run({name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})
    ends = np.cumsum(sizes).tolist()
    return [
        {name: array[end - size : end] for name, array in outputs.items()}
        for size, end in zip(sizes, ends, strict=True)
    ]


def answer_many(pipeline: Pipeline, raws: Iterable[bytes | TorchportError], batch: int) -> Iterator[Answer]:
    """What is left of the values of each input, `result` among them, in their order; a bad input is answered by its
    error.

    Args:
        raws: the inputs' bytes; an error in their place is handed on.
        batch: how many items a graph is given at once, at most. Graphs that drivers call get one input's feed at a
        time.
    """
    done: dict[int, Answer] = {}
    crowd = Crowd(pipeline, batch, done.__setitem__)
    given = 0
    for number, raw in enumerate(raws):
        if isinstance(raw, TorchportError):
            done[number] = raw
        else:
            values: Values = {"raw": raw}
            crowd.begin(number, values, pipeline.calls(values, lean=True))
        while crowd.crowded:
            crowd.serve()
        while given in done:
            yield done.pop(given)
            given += 1
    while crowd.under_way:
        crowd.serve()
    yield from (done.pop(number) for number in sorted(done))


@dataclass
class _Walk:
    """One input under way: its walk stands at a call."""

    values: Values
    walk: Calling[dict[str, Any], Values]
    show: Callable[[dict[str, Any]], None] | None
    call: Call | None = None
    held: int = 0


@dataclass
class Crowd:
    """The inputs under way, by the calls that they wait for.

    Attributes:
        pipeline: its graphs are called.
        batch: how many items a graph is given at once, at most.
        ended: is told the number of each input whose walk has ended, and its answer.
    """

    pipeline: Pipeline
    batch: int
    ended: Callable[[int, Answer], None]
    under_way: dict[int, _Walk] = field(default_factory=dict)
    waiting: dict[Key, list[int]] = field(default_factory=dict)
    held: int = 0

    @property
    def crowded(self) -> bool:
        """Whether some wait must end before another input begins."""
        full = any(len(members) >= self.batch for members in self.waiting.values())
        return full or len(self.under_way) >= WINDOW * self.batch or self.held > MOST_BYTES

    def begin(
        self,
        number: int,
        values: Values,
        walk: Calling[dict[str, Any], Values],
        show: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Walk one more input to its first call.

        Args:
            values: what the walk makes its answer in.
            walk: calls of the pipeline's graphs.
            show: hears of what the walk yields between its calls.
        """
        self.under_way[number] = _Walk(values, walk, show)
        self._go_on(number, None)

    def drop(self, number: int) -> None:
        """Forget an input that waits for a call: nobody wants its answer any more."""
        one = self.under_way.pop(number, None)
        if one is None:
            return
        self.held -= one.held
        for key, members in list(self.waiting.items()):
            if number in members:
                members.remove(number)
                if not members:
                    del self.waiting[key]
        one.walk.close()

    def serve(self, *, oldest: bool = False) -> None:
        """Make the calls of those that wait for the same, and let them go on: of the greatest number of them, or of
        the input that began first and those like it, so that none waits for ever.
        """
        waiting = self.waiting
        key = min(waiting, key=lambda key: min(waiting[key]) if oldest else -len(waiting[key]))
        numbers = self.waiting.pop(key)
        chosen, rest = numbers[: self.batch], numbers[self.batch :]
        if rest:
            self.waiting[key] = rest
        calls = [call for number in chosen if (call := self.under_way[number].call)]
        try:
            outputs = self.pipeline.call_together(calls)
        except TorchportError as exc:
            if len(chosen) == 1:
                self._end(chosen[0], exc)
                return
            outputs = []
        for place, number in enumerate(chosen):
            if outputs:
                self._go_on(number, outputs[place])
            else:
                self._alone(number, calls[place])  # one of them may be at fault

    def _alone(self, number: int, call: Call) -> None:
        try:
            outputs = self.pipeline.call(*call)
        except TorchportError as exc:
            self._end(number, exc)
        else:
            self._go_on(number, outputs)

    def _go_on(self, number: int, outputs: Any) -> None:
        one = self.under_way[number]
        try:
            step = one.walk.send(outputs)
            while not isinstance(step, Call) or not self._joins(step.graph):
                if not isinstance(step, Call) and one.show is not None:
                    one.show(step)
                step = one.walk.send(self.pipeline.call(*step) if isinstance(step, Call) else None)
        except StopIteration:
            self._end(number, one.values)
        except TorchportError as exc:
            self._end(number, exc)
        else:
            one.call = step
            arrays = [*one.values.values(), *step.feed.values()]
            held = sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
            self.held += held - one.held
            one.held = held
            self.waiting.setdefault(shapes_of(step), []).append(number)

    def _joins(self, graph: str) -> bool:
        """Whether a call of this graph waits for others like it; one that does not is made at once."""
        return (
            self.batch > 1
            and graph not in self.pipeline.plan.driven
            and batchable(self.pipeline.runners[graph].signature)
        )

    def _end(self, number: int, answer: Answer) -> None:
        self.held -= self.under_way.pop(number).held
        self.ended(number, answer)
