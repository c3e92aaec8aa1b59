"""What a task is given and hands back: items, grades, graphs, sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from .calls import Calling
from .facts import Facts, record

if TYPE_CHECKING:
    import torch


Values = dict[str, Any]


HostStep = Callable[[Values, Any], Values]
"""A host step takes its inputs by its own names and the facts, and answers its outputs by its own names."""


Graph = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
"""An opened graph as a metric sees it: feed in, outputs out, both by the names of its signature."""


Driver = Callable[[Values, Any], Calling[dict[str, Any], Values]]
"""A host step that calls graphs, those of its step's `drives`: a generator that yields a `Call` for each, and is sent
its outputs. Between calls it may yield what can be shown before the answer is complete (tokens, partial text), as
JSON-able dicts; `{"delta": text}` is text to append to what was shown. It returns its outputs."""


@dataclass(frozen=True)
class Item:
    """One item of the user's data: a name to show, its raw bytes (read when asked), its label if there is one."""

    name: str
    read: Callable[[], bytes]
    label: Any = None


class Grade(NamedTuple):
    """How right one answer is, 0..1, by the metric of that name."""

    metric: str
    value: float


class Settled(NamedTuple):
    """The user's items once the model's outputs are known.

    Attributes:
        items: with labels that the model can answer.
        facts: with what the data tells.
        assumed: names of facts that had to be assumed of the data.
        warnings: what was assumed, a sentence each.
    """

    items: list[Item]
    facts: Any
    assumed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskGraph:
    """A graph that the task adds around the model, to be captured like the model itself.

    Attributes:
        module: torch module of core ATen operators in eval mode; forward takes the example's tensors by name, in order,
            and returns a dict of tensors.
        examples: one feed.
        dims: input name -> {axis: name of the dynamic dimension}; None: axis 0 is `batch`, where the module allows it.
        bounds: dynamic dimension -> (min, max), where a bound is known.
    """

    module: torch.nn.Module
    examples: dict[str, np.ndarray]
    dims: dict[str, dict[int, str]] | None = field(default_factory=dict)
    bounds: dict[str, tuple[int, int | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """A source that is more than one graph (encoder and decoder step, a cascade), taken apart by its task.

    Attributes:
        graphs: graph name -> module with one real feed, each carrying weights, in the order they run.
        facts: the facts, with whatever the modules' code tells beyond them (token ids, layers, sizes).
    """

    graphs: dict[str, TaskGraph]
    facts: Facts


def written(value: Any) -> str:
    """A fact as `--set` takes it and people read it: `none`, `true`, `0.5,0.5,0.5`; JSON where it is nested."""
    if isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and any(isinstance(one, list | tuple | Mapping) for one in value)
    ):
        import json

        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, list | tuple):
        return ",".join(map(written, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def told(facts: Facts, **words: Any) -> list[str]:
    """Facts in words, a line each; `words` instead of the values of some, and none for a fact whose word is None."""
    return [
        f"{key}: {value.name if isinstance(value, Path) else written(value)}"
        for key, value in sorted({**record(facts), **words}.items())
        if key not in words or value is not None
    ]


class Session(Protocol):
    """A stream of input under way: frames of a game, chunks of speech. One session belongs to one caller."""

    def push(self, chunk: Any) -> dict[str, Any]:
        """Take the next piece; what is known so far, JSON-able."""

    def finish(self) -> dict[str, Any]:
        """The presented result of everything pushed; the session takes no more."""
