"""A chain as data: what a task, its facts, its steps and the signatures of its graphs make, before any graph is
opened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..errors import UsageError
from ..types import Signature, Step
from . import assets
from .base import Task
from .parts import Facts


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
    """A chain without opened graphs.

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
        return ", ".join(step.name for step in self.steps)

    @property
    def graph_steps(self) -> tuple[Step, ...]:
        """The steps that have an exported graph, whether or not the host can answer them too."""
        return tuple(step for step in self.steps if step.graph is not None)

    @property
    def driven(self) -> tuple[str, ...]:
        """Names of the graphs that host steps call themselves."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.drives))

    def step_of(self, graph: str) -> Step | None:
        """The step that is answered by a graph; None where a host step drives it."""
        return next((step for step in self.steps if step.graph == graph), None)

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
        if all(step.name != start for step in self.steps):
            raise UsageError(f"the chain has no step '{start}'", f"it has {self.names}")
        first = next(i for i, step in enumerate(self.steps) if step.name == start)
        known, lacking = set(values), dict[str, None]()
        for step in self.steps[first:]:
            lacking.update(dict.fromkeys(name for name in step.inputs.values() if name not in known))
            known |= set(step.outputs.values())
        return list(lacking)

    def needed(self, *, in_graph: bool = False) -> list[str]:
        """Names of the graphs that the chain runs, in the order of its steps."""
        names: dict[str, None] = {}
        for step in self.steps:
            if step.graph is not None and (step.host is None or in_graph):
                names[step.graph] = None
            names.update(dict.fromkeys(step.drives))
        return list(names)

    def has_choice(self) -> bool:
        """Whether any step can be answered by the host and by a graph."""
        return any(step.host for step in self.graph_steps)

    def to_record(self) -> PlanRecord:
        """The plan as JSON; files that facts name are given by their paths."""
        facts, files = assets.detach(self.facts)
        return PlanRecord(
            self.task.name, facts, {n: str(p) for n, p in files.items()}, self.steps, dict(self.signatures)
        )

    @classmethod
    def from_record(cls, record: PlanRecord, task_of: Callable[[str], Task]) -> Plan:
        """The plan that a record describes; `task_of` gives the task of a name."""
        facts = assets.attach(record.facts, lambda name: Path(record.files[name]))
        return cls(task_of(record.task), facts, record.steps, record.signatures)
