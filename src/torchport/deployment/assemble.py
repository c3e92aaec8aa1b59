"""A source, a task and the user's data become a Program: the model captured on real inputs, the task's graphs around
it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput, CaptureError, UsageError
from ..frontend import axes
from ..frontend.dynamic import BATCH
from ..frontend.fused import refuse_two_answers
from ..frontend.inputs import made_up, parse
from ..frontend.ladder import capture_graph
from ..frontend.program import GraphProgram, Program
from ..tasks import Item, Task, plan
from ..tasks.facts import Facts
from ..tasks.parts import Settled, Split, TaskGraph
from ..types import Bound, Signature, Step

if TYPE_CHECKING:
    from ..frontend.source import Source

EXAMPLE_BATCH = axes.ROWS

MADE_UP_ITEMS = 8


@dataclass(frozen=True)
class Assembled:
    """What capture hands to the other stages.

    Attributes:
        assumed: names of facts that nobody gave.
        items: the user's items, or made-up ones.
        made_up: the items are seeded noise (`--input`), so that parity says less.
        warnings: what the user should know before believing the result, a sentence each.
    """

    program: Program
    task: Task
    facts: Facts
    assumed: tuple[str, ...]
    steps: tuple[Step, ...]
    items: list[Item]
    made_up: bool
    warnings: tuple[str, ...] = ()

    @property
    def graphs(self) -> dict[str, Signature]:
        """Graph name -> signature."""
        return {name: graph.signature for name, graph in self.program.graphs.items()}

    @property
    def reference(self) -> Program:
        """The eager reference: the graph that carries the weights; where a host step drives graphs, or the source is
        several, all that the chain runs.
        """
        alone = self.program.weighted == ("model",) and not plan.driven(self.steps)
        names = self.program.weighted if alone else tuple(self.program.graphs)
        return replace(self.program, graphs={name: self.program.graphs[name] for name in names}, source={})


def assemble(
    source: Source, task: Task, settings: Mapping[str, Any], data: Path | None, specs: Sequence[str]
) -> Assembled:
    """Resolve the facts, read the data, capture the model and the task's graphs.

    Args:
        settings: facts given by the user; the rest comes from the source, then from the task's defaults.
        data: the user's items, or None.
        specs: `--input` texts, such as `x:float32[batch,10]`; beside data they say which of its axes are free.

    Raises:
        UsageError: neither data nor specs, or specs for a task that takes no tensors.
        BadInput: the data cannot be used.
        CaptureError: the model cannot be captured; the message names the module and the source line.
    """
    facts, assumed = task.resolve(settings, source.facts)
    if specs and data is not None and not task.takes_tensors:
        raise UsageError(
            f"--input says nothing to {task.name}: what its model takes follows from its settings and data",
            "leave out --input",
        )
    if data is not None:
        facts = task.named(facts, data, parse(specs).tensors) if specs else facts
        items = task.items(data, facts)
        split = _split(task, source, facts, items)
        if split is not None:
            return _assemble_split(split, task, source, settings, items, assumed, data)
        if task.takes_tensors:
            example = axes.of_items(task, items, facts, source.input_names(), data, parse(specs))
        else:
            usable, feed = _examples(task, items, facts, source.input_names())
            free = task.free(facts)
            dims = {name: {0: BATCH, **free} for name in feed} if free else None
            example = axes.Example(items, usable, feed, dims, {}, optional=bool(free))
    elif specs and task.takes_tensors:
        parsed = parse(specs)
        items = [_made_up_item(i, made_up(parsed, seed=i, batch=1)) for i in range(1, MADE_UP_ITEMS + 1)]
        example = axes.Example(items, items, made_up(parsed, batch=EXAMPLE_BATCH), parsed.dims, parsed.bounds)
    else:
        instead = ', or --input "x:float32[batch,10]"' if task.takes_tensors else ""
        raise UsageError(f"there is nothing to run the model on: {task.name} needs data", f"give --data{instead}")
    if task.takes_tensors and source.module is not None:
        refuse_two_answers(source.module, example.feed)
    model = _capture_model(source, example)
    facts = task.bind(facts, model.signature)
    settled = _settle(task, source, settings, data, example.items, facts, model.signature)
    facts, steps = settled.facts, task.steps(settled.facts, model.signature)
    graphs: dict[str, GraphProgram] = {"model": model}
    for name, graph in task.graphs(facts, model.signature, example.usable).items():
        graphs[name] = _of_task(name, graph)
    return Assembled(
        _program(graphs, steps, source, ("model",)),
        task,
        facts,
        _assumed(assumed, settled),
        steps,
        settled.items,
        data is None,
        settled.warnings,
    )


def _settle(
    task: Task,
    source: Source,
    settings: Mapping[str, Any],
    data: Path | None,
    items: list[Item],
    facts: Facts,
    model: Signature,
) -> Settled:
    """What the data tells once the model's outputs are known, and what transformers would do otherwise."""
    task.need_used(settings, facts)
    settled = Settled(items, facts) if data is None else task.settle(data, items, facts, model)
    apart = source.processors.differences(items, facts, settings) if source.processors and data is not None else []
    return settled._replace(warnings=(*apart, *settled.warnings))


def _assumed(known: Sequence[str], settled: Settled) -> tuple[str, ...]:
    return tuple(sorted({*known, *settled.assumed}))


def _capture_model(source: Source, example: axes.Example) -> GraphProgram:
    """The model on its example; where nobody named the batch, a model that fixes it is captured at one row."""
    try:
        return capture_graph("model", source.model, example.feed, dims=example.dims, bounds=example.bounds)
    except CaptureError:
        if not example.optional:
            raise
        dims = {
            name: {axis: dim for axis, dim in named.items() if dim != BATCH}
            for name, named in (example.dims or {}).items()
        }
        feed = {
            name: array[:1] if 0 in (example.dims or {}).get(name, {}) else array
            for name, array in example.feed.items()
        }
        try:
            return capture_graph("model", source.model, feed, dims=dims, bounds=example.bounds)
        except CaptureError:
            pass  # the first one tells more
        raise


def _split(task: Task, source: Source, facts: Facts, items: Sequence[Item]) -> Split | None:
    """What the task makes of a source of several graphs; items that cannot be read are passed over."""
    error: BadInput | None = None
    for start in range(min(len(items), MADE_UP_ITEMS)):
        try:
            return task.split(source.model, facts, items[start : start + EXAMPLE_BATCH])
        except BadInput as exc:
            error = error or exc
    raise error or BadInput("the data holds no items", "check --data")


def _assemble_split(
    split: Split,
    task: Task,
    source: Source,
    settings: Mapping[str, Any],
    items: list[Item],
    assumed: tuple[str, ...],
    data: Path,
) -> Assembled:
    graphs = {name: _of_task(name, graph) for name, graph in split.graphs.items()}
    first = next(iter(graphs.values())).signature
    facts = task.bind(split.facts, first)
    settled = _settle(task, source, settings, data, items, facts, first)
    facts, items = settled.facts, settled.items
    steps = task.steps(facts, first)
    for name, graph in task.graphs(facts, first, items[:EXAMPLE_BATCH]).items():
        graphs[name] = _of_task(name, graph)
    return Assembled(
        _program(graphs, steps, source, split.graphs),
        task,
        facts,
        _assumed(assumed, settled),
        steps,
        items,
        False,
        settled.warnings,
    )


def _of_task(name: str, graph: TaskGraph) -> GraphProgram:
    """A graph that a task writes, by itself or around a part of a source of several graphs. Non-strict export goes
    first: such code holds no decisions that only the strict way finds, and that takes two to four times as long."""
    bounds = {dim: Bound(min=least, max=most) for dim, (least, most) in graph.bounds.items()}
    return capture_graph(
        name,
        graph.module,
        graph.examples,
        dims=graph.dims,
        bounds=bounds,
        rungs=("non-strict", "strict"),
        examined=False,
    )


def _program(
    graphs: Mapping[str, GraphProgram], steps: Sequence[Step], source: Source, weighted: Container[str]
) -> Program:
    """The graphs that the steps run, in their order; `weighted` are the names of those with the source's weights."""
    used = plan.used(steps)
    return Program(
        {name: graphs[name] for name in used},
        source=source.provenance,
        weighted=tuple(name for name in used if name in weighted),
        stateful=plan.stateful(steps),
        optional=tuple(name for name in plan.optional(steps) if name not in weighted),
    )


def _examples(
    task: Task, items: Sequence[Item], facts: Facts, names: Sequence[str] | None
) -> tuple[list[Item], dict[str, np.ndarray]]:
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
    return usable, {name: _stacked([row[name] for row in rows]) for name in rows[0]}


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The rows as one array, where an axis is free cut to the shortest of them."""
    least = tuple(slice(min(sizes)) for sizes in zip(*(row.shape[1:] for row in rows), strict=True))
    return np.concatenate([row[(slice(None), *least)] for row in rows])


def _made_up_item(number: int, feed: Mapping[str, np.ndarray]) -> Item:
    from safetensors.numpy import save

    raw = bytes(save(dict(feed)))
    return Item(f"made-up[{number}]", lambda: raw)
