"""Walk a chain of steps: the one place that says how graphs and host steps follow each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import BundleError
from ..types import Step
from .base import Facts, Task, Values

if TYPE_CHECKING:
    from ..targets.base import Runner


@dataclass(frozen=True)
class Pipeline:
    """The steps of a Bundle (or of a deploy under way) with opened graphs.

    Attributes:
        in_graph: where a step names both a graph and a host step, take the graph.
    """

    task: Task
    facts: Facts
    steps: Sequence[Step]
    runners: Mapping[str, Runner]
    in_graph: bool = False

    def uses_graph(self, step: Step) -> bool:
        """Whether this pipeline answers the step with its exported graph."""
        return step.graph is not None and (step.host is None or self.in_graph)

    def answer(self, raw: bytes, **start: Any) -> Values:
        """Every value from `raw` to `result`, by the names in the steps' wiring.

        Raises:
            BadInput: the bytes cannot be decoded.
            RunError: a runtime failed.
        """
        values: Values = {"raw": raw, **start}
        for step in self.steps:
            self.take(step, values)
        return values

    def take(self, step: Step, values: Values) -> None:
        """Run one step on the values made so far, and add what it makes."""
        inputs = {own: values[name] for own, name in step.inputs.items()}
        if self.uses_graph(step):
            assert step.graph is not None
            runner = self.runners[step.graph]
            if step.fit:
                bound = {spec.name: runner.graph.io[spec.name].max_shape for spec in runner.signature.inputs}
                inputs = self._host(step.fit)({**inputs, "max_shape": bound}, self.facts)
            made: Mapping[str, Any] = runner.run(inputs)
        else:
            assert step.host is not None, f"step {step.name} names neither a graph nor a host step"
            made = self._host(step.host)(inputs, self.facts)
        values.update({name: made[own] for own, name in step.outputs.items()})

    def _host(self, name: str) -> Any:
        if name not in self.task.host:
            raise BundleError(f"task {self.task.name} has no host step '{name}'", "upgrade torchport: the Bundle was made by another version")
        return self.task.host[name]
