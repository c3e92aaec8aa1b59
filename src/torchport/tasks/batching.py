"""Many inputs through one chain: graphs that take batches get them, of inputs whose tensors have the same shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ..errors import TorchportError
from ..feed import is_batched
from ..types import Signature, Step
from .base import Values

if TYPE_CHECKING:
    from .pipeline import Pipeline

WINDOW = 16
"""How many batches of inputs are looked at together to find some of the same shape; all their values are held at once."""

Answer = Values | TorchportError


def answer_many(pipeline: Pipeline, raws: Iterable[bytes | TorchportError], batch: int) -> Iterator[Answer]:
    """Every value from `raw` to `result` for each input, in their order; a bad input is answered by its error and the rest go on.

    Args:
        raws: the inputs' bytes; an error in their place is handed on.
        batch: how many a graph is given at once, at most.
    """
    waiting = iter(raws)
    while window := list(islice(waiting, WINDOW * batch)):
        answers: list[Answer] = [raw if isinstance(raw, TorchportError) else {"raw": raw} for raw in window]
        for step in pipeline.steps:
            _take(pipeline, step, answers, batch)
        yield from answers


def _take(pipeline: Pipeline, step: Step, answers: list[Answer], batch: int) -> None:
    """One step for every input that has come so far."""
    open_graph = pipeline.runners[step.graph] if step.graph is not None and pipeline.uses_graph(step) else None
    together = batch > 1 and open_graph is not None and not step.fit and not step.state and _takes_batches(open_graph.signature)
    for chosen in _groups(step, answers, batch) if together else ([i] for i in range(len(answers))):
        rows = [values for i in chosen if isinstance(values := answers[i], dict)]
        if not rows:
            continue
        try:
            if len(rows) == 1 or open_graph is None:
                pipeline.take(step, rows[0])
            else:
                _run(open_graph.run, step, rows)
        except TorchportError as exc:
            if len(rows) == 1:
                answers[chosen[0]] = exc
                continue
            for i in chosen:  # one of them may be at fault: each by itself
                _alone(pipeline, step, answers, i)


def _alone(pipeline: Pipeline, step: Step, answers: list[Answer], i: int) -> None:
    values = answers[i]
    assert isinstance(values, dict), "errors are in no group"
    try:
        pipeline.take(step, values)
    except TorchportError as exc:
        answers[i] = exc


def _run(run: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], step: Step, rows: Sequence[Values]) -> None:
    outputs = run({own: np.concatenate([values[name] for values in rows]) for own, name in step.inputs.items()})
    at = 0
    first = next(iter(step.inputs.values()))
    for values in rows:
        size = len(values[first])
        values.update({name: outputs[own][at : at + size] for own, name in step.outputs.items()})
        at += size


def _groups(step: Step, answers: Sequence[Answer], batch: int) -> Iterator[list[int]]:
    """Inputs whose tensors for a step differ in their first dimension at most, `batch` at once."""
    alike: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for i, values in enumerate(answers):
        if isinstance(values, dict):
            alike.setdefault(tuple(np.shape(values[name])[1:] for name in step.inputs.values()), []).append(i)
    for members in alike.values():
        for start in range(0, len(members), batch):
            yield members[start : start + batch]


def _takes_batches(signature: Signature) -> bool:
    return all(map(is_batched, (*signature.inputs, *signature.outputs)))
