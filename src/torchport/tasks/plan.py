"""A chain as data: what a task, its facts, its steps and the signatures of its graphs make, before any graph is
opened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..errors import BundleError, UsageError
from ..types import Levels, Signature, Step
from . import assets
from .base import Task
from .facts import Facts, read


class PlanRecord(msgspec.Struct, frozen=True):
    """A Plan as JSON.

    Attributes:
        task: name of the task.
        facts: as in a manifest; `files` says where the files they name lie.
    """

    task: str
    facts: dict[str, Any]
    files: dict[str, str]
    steps: tuple[Step, ...]
    signatures: dict[str, Signature]


@dataclass(frozen=True)
class Plan:
    """A chain without opened graphs. This module alone goes through the steps of a chain.

    Attributes:
        steps: from `raw` to `result`.
        signatures: graph name -> its inputs and outputs.
    """

    task: Task
    facts: Facts
    steps: tuple[Step, ...]
    signatures: Mapping[str, Signature]

    @property
    def main(self) -> str:
        """The graph that stands for the model: `model`, else the first."""
        return "model" if "model" in self.signatures else next(iter(self.signatures))

    @property
    def names(self) -> str:
        """The steps' names in their order, with commas between."""
        return ", ".join(names(self.steps))

    @property
    def graph_steps(self) -> tuple[Step, ...]:
        """The steps that have an exported graph, whether or not the host can answer them too."""
        return tuple(step for step in self.steps if step.graph is not None)

    @property
    def driven(self) -> tuple[str, ...]:
        """Names of the graphs that host steps call themselves."""
        return driven(self.steps)

    @property
    def levels(self) -> dict[str, Levels]:
        """Graph -> how its answers are compared, where its step rounds to levels."""
        return {step.graph: step.levels for step in self.steps if step.graph and step.levels}

    def span(self, start: str | None = None, stop: str | None = None) -> range:
        """Numbers of the steps from `start` on, before `stop`; None is the first step, and beyond the last."""
        known = names(self.steps)
        first = known.index(start) if start is not None else 0
        return range(first, known.index(stop) if stop is not None else len(known))

    def read_after(self, number: int) -> set[str]:
        """Names of the values that steps after that number read, and `result`."""
        return {name for step in self.steps[number + 1 :] for name in step.inputs.values()} | {"result"}

    def step_of(self, graph: str) -> Step | None:
        """The step that is answered by a graph; None where a host step drives it."""
        return next((step for step in self.steps if step.graph == graph), None)

    def fed(self, values: Mapping[str, Any], graphs: Collection[str]) -> Iterator[tuple[Step, dict[str, Any]]]:
        """Each step that is answered by one of these graphs, with the graph's feed out of the chain's values."""
        for step in self.graph_steps:
            if step.graph in graphs:
                yield step, {own: values[name] for own, name in step.inputs.items()}

    def feed(self, graph: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """A graph's feed out of the chain's values; empty where a host step drives it."""
        return next((feed for _, feed in self.fed(values, (graph,))), {})

    def outputs(self, graph: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """What a graph answered, by its own names, out of the chain's values; empty where a host step drives it."""
        made = self.step_of(graph)
        return {own: values[name] for own, name in made.outputs.items()} if made else {}

    def model_outputs(self) -> dict[str, str]:
        """Output name -> value, of the steps that carry weights: the graph `model`, or what else runs graphs."""
        made = self.step_of("model")
        steps = [made] if made else [step for step in self.steps if step.graphs]
        return {own: name for step in steps for own, name in step.outputs.items()}

    def after(self, value: str) -> str:
        """Name of the step that follows the one that makes a value: where a chain starts that is handed that value."""
        made = next(i for i, step in enumerate(self.steps) if value in step.outputs.values())
        return self.steps[made + 1].name

    def end_of(self, graphs: Iterable[str]) -> str | None:
        """Name of the step behind the last one that runs one of these graphs; None where that is the last of the
        chain.
        """
        wanted = set(graphs)
        last = max((i for i, step in enumerate(self.steps) if not wanted.isdisjoint(step.graphs)), default=-1)
        return self.steps[last + 1].name if last + 1 < len(self.steps) else None

    def missing(self, values: Collection[str], start: str) -> list[str]:
        """Values that the steps from `start` on read, that none of them makes and that are not given.

        Raises:
            UsageError: there is no such step.
        """
        if start not in names(self.steps):
            raise UsageError(f"the chain has no step '{start}'", f"it has {self.names}")
        known, lacking = set(values), dict[str, None]()
        for step in self.steps[self.span(start).start :]:
            lacking.update(dict.fromkeys(name for name in step.inputs.values() if name not in known))
            known |= set(step.outputs.values())
        return list(lacking)

    def needed(self, *, in_graph: bool = False) -> list[str]:
        """Names of the graphs that the chain runs, in the order of its steps."""
        found: dict[str, None] = {}
        for step in self.steps:
            if step.graph is not None and (step.host is None or in_graph):
                found[step.graph] = None
            found.update(dict.fromkeys(step.drives))
        return list(found)

    def has_choice(self) -> bool:
        """Whether any step can be answered by the host and by a graph."""
        return any(step.host for step in self.graph_steps)

    def host_steps(self) -> dict[str, Callable[..., Any]]:
        """Step name -> its host step, for every step that names one; see `host_steps`."""
        return host_steps(self.task, self.steps)

    def to_record(self) -> PlanRecord:
        """The plan as JSON; files that facts name are given by their paths."""
        facts, files = assets.detach(self.facts)
        return PlanRecord(
            self.task.name, facts, {n: str(p) for n, p in files.items()}, self.steps, dict(self.signatures)
        )

    @classmethod
    def from_record(cls, record: PlanRecord, task_of: Callable[[str], Task]) -> Plan:
        """The plan that a record describes; `task_of` gives the task of a name."""
        task, facts = task_of(record.task), assets.attach(record.facts, lambda name: Path(record.files[name]))
        return cls(task, read(task.facts, facts, files=False), record.steps, record.signatures)


def names(steps: Iterable[Step]) -> list[str]:
    """The steps' names in their order."""
    return [step.name for step in steps]


def driven(steps: Iterable[Step]) -> tuple[str, ...]:
    """Names of the graphs that host steps call themselves."""
    return tuple(dict.fromkeys(name for step in steps for name in step.drives))


def used(steps: Iterable[Step]) -> tuple[str, ...]:
    """Names of all graphs that a chain may run, in the order of its steps."""
    return tuple(dict.fromkeys(name for step in steps for name in step.graphs))


def stateful(steps: Sequence[Step]) -> tuple[str, ...]:
    """Names of the graphs that are handed their own outputs of the call before."""
    return tuple(name for name in used(steps) if any(step.graphs.get(name) for step in steps))


def optional(steps: Sequence[Step]) -> tuple[str, ...]:
    """Names of the graphs that an artefact may lack: the host answers for them wherever they stand."""
    needed = {*driven(steps), *(step.graph for step in steps if step.host is None)}
    return tuple(name for name in used(steps) if name not in needed)


def made(steps: Iterable[Step]) -> set[str]:
    """Names of the values that the steps make."""
    return {name for step in steps for name in step.outputs.values()}


def from_decoded(steps: Iterable[Step]) -> list[Step]:
    """The steps that do not read the raw input: a chain to go on with where the input is decoded already."""
    return [step for step in steps if "raw" not in step.inputs.values()]


def drives(steps: Iterable[Step]) -> dict[str, dict[str, str]]:
    """Graph -> its carried state, of all graphs that a driver calls who takes these steps itself."""
    found: dict[str, dict[str, str]] = {}
    for step in steps:
        found |= step.drives
        if step.graph is not None and step.host is None:
            found[step.graph] = {}
    return found


def visit(steps: Iterable[Step], look: Callable[[Step, set[str]], None]) -> set[str]:
    """Show each step in turn, with the names of the values that are there before it; the names at the end."""
    known = {"raw"}
    for step in steps:
        look(step, known)
        known |= {*step.outputs.values()}
    return known


def host_steps(task: Task, steps: Iterable[Step]) -> dict[str, Callable[..., Any]]:
    """Step name -> its host step, for every step that names one.

    Raises:
        BundleError: a step names a host step that the task does not have.
    """
    host, drivers = task.host, task.drivers
    found = {}
    for step in steps:
        own: Mapping[str, Callable[..., Any]] = drivers if step.drives else host
        for name, table in ((step.host, own), (step.fit, host)):
            if name is not None and name not in table:
                hint = "upgrade torchport: the Bundle was made by another version"
                raise BundleError(f"task {task.name} has no host step '{name}'", hint)
        if step.host is not None:
            found[step.name] = own[step.host]
    return found
