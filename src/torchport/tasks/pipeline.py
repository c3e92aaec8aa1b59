"""Walk a chain of steps: the one place that says how graphs and host steps follow each other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import BundleError, RunError, TorchportError
from ..types import Step
from .base import Facts, Grade, Task, Values

if TYPE_CHECKING:
    from ..targets.base import Runner

Arrays = Mapping[str, np.ndarray]
T = TypeVar("T")

Watch = Callable[[str, Arrays, Arrays], None]
"""Hears of every call that a driver makes: graph, feed, outputs."""


@dataclass(frozen=True)
class Pipeline:
    """The steps of a Bundle (or of a deploy under way) with opened graphs.

    Attributes:
        in_graph: where a step names both a graph and a host step, take the graph.
        watch: called after every call that a driver makes.
    """

    task: Task
    facts: Facts
    steps: Sequence[Step]
    runners: Mapping[str, Runner]
    in_graph: bool = False
    watch: Watch | None = None

    def uses_graph(self, step: Step) -> bool:
        """Whether this pipeline answers the step with its exported graph."""
        return step.graph is not None and (step.host is None or self.in_graph)

    def needed(self) -> list[str]:
        """Names of the graphs that this pipeline runs, in the order of its steps."""
        names: dict[str, None] = {}
        for step in self.steps:
            if step.graph is not None and self.uses_graph(step):
                names[step.graph] = None
            names.update(dict.fromkeys(step.drives))
        return list(names)

    def answer(self, raw: bytes, **start: Any) -> Values:
        """Every value from `raw` to `result`, by the names in the steps' wiring.

        Raises:
            BadInput: the bytes cannot be decoded.
            RunError: a runtime failed.
        """
        return _exhaust(self.stream(raw, **start))

    def stream(self, raw: bytes, **start: Any) -> Generator[dict[str, Any], None, Values]:
        """As `answer`, yielding on the way what drivers have to show before the answer is complete."""
        values: Values = {"raw": raw, **start}
        for step in self.steps:
            yield from self._take(step, values)
        return values

    def take(self, step: Step, values: Values) -> None:
        """Run one step on the values made so far, and add what it makes."""
        _exhaust(self._take(step, values))

    def grade(self, values: Mapping[str, Any], label: Any) -> Grade | None:
        """How right an answer is, by the task's metric; None where nothing tells."""
        return self.task.grade(values, label, self.facts, {name: runner.run for name, runner in self.runners.items()})

    def call(self, graph: str, feed: Arrays) -> dict[str, np.ndarray]:
        """Run one opened graph, as drivers do."""
        outputs = self.runners[graph].run(feed)
        if self.watch is not None:
            self.watch(graph, feed, outputs)
        return outputs

    def _take(self, step: Step, values: Values) -> Generator[dict[str, Any], None, None]:
        try:
            yield from self._taken(step, values)
        except (TorchportError, GeneratorExit, MemoryError):
            raise
        except Exception as exc:  # a stranger's wiring and facts reach a host step, which may fail on them in any way
            raise RunError(f"step {step.name} failed: {type(exc).__name__}: {str(exc)[:200]}", "the input or the Bundle is not what its task takes; TORCHPORT_DEBUG=1 shows where it was met") from exc

    def _taken(self, step: Step, values: Values) -> Generator[dict[str, Any], None, None]:
        inputs = {own: values[name] for own, name in step.inputs.items()}
        if self.uses_graph(step):
            made = self._run(step, inputs)
        elif step.drives:
            made = self._drive(step, inputs)
            if isinstance(made, Generator):
                made = yield from made
        else:
            made = self._named(self.task.host, step.host)(inputs, self.facts)
        values.update({name: made[own] for own, name in step.outputs.items()})

    def _run(self, step: Step, inputs: Values) -> Any:
        assert step.graph is not None, "the caller asked"
        runner = self.runners[step.graph]
        if step.fit:
            bound = {spec.name: runner.graph.io[spec.name].max_shape for spec in runner.signature.inputs}
            inputs = self._named(self.task.host, step.fit)({**inputs, "max_shape": bound}, self.facts)
        return runner.run(inputs)

    def _drive(self, step: Step, inputs: Values) -> Any:
        def opened(graph: str) -> Callable[[Arrays], dict[str, np.ndarray]]:
            return lambda feed: self.call(graph, feed)

        return self._named(self.task.drivers, step.host)(inputs, self.facts, {graph: opened(graph) for graph in step.drives})

    def _named(self, table: Mapping[str, Any], name: str | None) -> Any:
        if name is None or name not in table:
            raise BundleError(f"task {self.task.name} has no host step '{name}'", "upgrade torchport: the Bundle was made by another version")
        return table[name]


def _exhaust(running: Generator[dict[str, Any], None, T]) -> T:
    while True:
        try:
            next(running)
        except StopIteration as done:
            answer: T = done.value
            return answer
