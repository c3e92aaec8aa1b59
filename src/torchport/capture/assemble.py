"""A source, a task and the user's data become a Program: the model captured on real inputs, the task's graphs around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput, UsageError
from ..tasks import Item, Task
from ..tasks.base import Facts
from ..types import Signature, Step
from .inputs import made_up, parse
from .ladder import capture_graph
from .program import GraphProgram, Program

if TYPE_CHECKING:
    from .source import Source

EXAMPLE_BATCH = 2
"""Captured at two items: at one, torch.export takes the batch for a constant."""

MADE_UP_ITEMS = 8


@dataclass(frozen=True)
class Assembled:
    """What capture hands to the other stages.

    Attributes:
        assumed: names of facts that nobody gave.
        items: the user's items, or made-up ones.
        made_up: the items are seeded noise (`--input`), so that parity says less.
    """

    program: Program
    task: Task
    facts: Facts
    assumed: tuple[str, ...]
    steps: tuple[Step, ...]
    items: list[Item]
    made_up: bool

    @property
    def graphs(self) -> dict[str, Signature]:
        """Graph name -> signature."""
        return {name: graph.signature for name, graph in self.program.graphs.items()}

    @property
    def model_only(self) -> Program:
        """The Program with nothing but the graph that carries the weights: the eager reference."""
        return Program({"model": self.program.graphs["model"]}, imports=self.program.imports)


def assemble(source: Source, task: Task, settings: Mapping[str, Any], data: Path | None, specs: Sequence[str]) -> Assembled:
    """Resolve the facts, read the data, capture the model and the task's graphs.

    Args:
        settings: facts given by the user; the rest comes from the source, then from the task's defaults.
        data: the user's items, or None.
        specs: `--input` texts, such as `x:float32[batch,10]`, for when there is no data.

    Raises:
        UsageError: neither data nor specs.
        BadInput: the data cannot be used.
        CaptureError: the model cannot be captured; the message names the module and the source line.
    """
    facts, assumed = task.resolve(settings, source.facts)
    dims: dict[str, Any] | None = None
    bounds: dict[str, Any] | None = None
    if data is not None:
        items = task.items(data, facts)
        usable, feed = _examples(task, items, facts, source.input_names())
    elif specs and task.takes_tensors:
        parsed = parse(specs)
        feed, dims, bounds = made_up(parsed, batch=EXAMPLE_BATCH), parsed.dims, parsed.bounds
        items = usable = [_made_up_item(i, made_up(parsed, seed=i, batch=1)) for i in range(1, MADE_UP_ITEMS + 1)]
    else:
        instead = ', or --input "x:float32[batch,10]"' if task.takes_tensors else ""
        raise UsageError(f"there is nothing to run the model on: {task.name} needs data", f"give --data{instead}")
    model = capture_graph("model", source.model, feed, dims=dims, bounds=bounds)
    facts = task.bind(facts, model.signature)
    task.check_items(items, model.signature)
    steps = task.steps(facts, model.signature)
    graphs: dict[str, GraphProgram] = {"model": model}
    for name, graph in task.graphs(facts, model.signature, usable).items():
        graphs[name] = capture_graph(name, graph.module, graph.examples, dims=graph.dims, bounds=graph.bounds)
    program = Program({step.graph: graphs[step.graph] for step in steps if step.graph}, source=source.provenance)
    return Assembled(program, task, facts, assumed, steps, items, data is None)


def _examples(task: Task, items: Sequence[Item], facts: Facts, names: Sequence[str] | None) -> tuple[list[Item], dict[str, np.ndarray]]:
    """The first items that can be read, and their feed, of EXAMPLE_BATCH rows; an unreadable one is passed over."""
    usable: list[Item] = []
    feeds: list[dict[str, np.ndarray]] = []
    error: BadInput | None = None
    for item in items:
        try:
            feeds.append(task.feed([item], facts, names))
        except BadInput as exc:
            error = error or exc
            continue
        usable.append(item)
        if len(usable) == EXAMPLE_BATCH:
            break
    if not usable:
        raise error or BadInput("the data holds no items", "check --data")
    rows = feeds * EXAMPLE_BATCH if len(feeds) == 1 else feeds
    return usable, {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _made_up_item(number: int, feed: Mapping[str, np.ndarray]) -> Item:
    from safetensors.numpy import save

    raw = bytes(save(dict(feed)))
    return Item(f"made-up[{number}]", lambda: raw)
