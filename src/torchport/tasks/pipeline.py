"""Walk a chain of steps: the one place that says how graphs and host steps follow each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..errors import RunError, TorchportError
from ..types import GraphFile, Signature, Step, TensorIO, TensorSpec
from .base import Task
from .batching import run_together
from .calls import Arrays, Call, Calling, exhaust, perform
from .parts import Grade, Values
from .plan import Plan

_BEYOND = 1 << 50
"""An axis without a bound, beside one that has one."""


class OpenGraph(Protocol):
    """An opened graph, as a chain sees it: a Runner, or anything that answers like one (a batcher, a remote graph).

    Attributes:
        signature: inputs and outputs, by the names that were fixed at capture.
        graph: `graph.io` says how the artefact spells each tensor, with the greatest sizes that it takes.
    """

    signature: Signature
    graph: GraphFile

    def run(self, feed: Arrays) -> dict[str, np.ndarray]:
        """Every output for every input, by the names of the signature; see `targets.base.Runner.run`."""


class Watch(Protocol):
    """Hears of every call of a graph, whoever makes it."""

    def __call__(self, graph: str, feed: Arrays, outputs: Arrays, ms: float) -> None:
        """What went into the graph of that name, what came out, and how many milliseconds it took."""


@dataclass(frozen=True)
class Pipeline:
    """A plan with opened graphs.

    Attributes:
        runners: graph name -> the opened graph; those of `plan.needed(in_graph=in_graph)` at least.
        in_graph: where a step names both a graph and a host step, take the graph where it is opened.
        watch: called after every call of a graph.

    Raises:
        BundleError: a step names a host step that the task does not have.
    """

    plan: Plan
    runners: Mapping[str, OpenGraph]
    in_graph: bool = False
    watch: Watch | None = None
    _host: Mapping[str, Callable[..., Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_host", self.plan.host_steps())

    @property
    def task(self) -> Task:
        """The plan's."""
        return self.plan.task

    @property
    def facts(self) -> Any:
        """The plan's."""
        return self.plan.facts

    def uses_graph(self, step: Step) -> bool:
        """Whether this pipeline answers the step with its exported graph: not where the artefact has none and the host
        answers for it.
        """
        return step.graph is not None and (step.host is None or (self.in_graph and step.graph in self.runners))

    def answer(self, raw: bytes) -> Values:
        """Every value from `raw` to `result`, by the names in the steps' wiring.

        Raises:
            BadInput: the bytes cannot be decoded.
            RunError: a runtime failed.
        """
        return exhaust(self.stream(raw))

    def stream(self, raw: bytes) -> Generator[dict[str, Any], None, Values]:
        """As `answer`, yielding on the way what drivers have to show before the answer is complete."""
        return perform(self.calls({"raw": raw}), self.call)

    def run(self, values: Values, *, start: str | None = None, stop: str | None = None, lean: bool = False) -> Values:
        """Run the steps from `start` on, before `stop`, on values that are there; what they make is added to `values`.

        Args:
            start: name of the first step that runs; None: the first of the chain.
            stop: name of the step before which the walk ends; None: the last one runs.
            lean: forget a value as soon as no later step reads it, `result` excepted.
        """
        return exhaust(perform(self.calls(values, start=start, stop=stop, lean=lean), self.call))

    def calls(
        self, values: Values, *, start: str | None = None, stop: str | None = None, lean: bool = False
    ) -> Calling[dict[str, Any], Values]:
        """The walk itself, which runs no graph: it yields a Call for each and is sent its outputs; see `run`.

        Yields:
            Calls of graphs, and what drivers have to show before the answer is complete, as JSON-able dicts.
        """
        for number in self.plan.span(start, stop):
            yield from self._take(self.plan.steps[number], values)
            if lean:
                for name in values.keys() - self.plan.read_after(number):
                    del values[name]
        return values

    def grade(self, values: Mapping[str, Any], label: Any) -> Grade | None:
        """How right an answer is, by the task's metric; None where nothing tells."""
        return self.task.grade(values, label, self.facts, self.graphs())

    def graphs(self) -> dict[str, Callable[[Arrays], dict[str, np.ndarray]]]:
        """Every opened graph as a function of its feed, by name: `call` of each."""

        def opened(name: str) -> Callable[[Arrays], dict[str, np.ndarray]]:
            return lambda feed: self.call(name, feed)

        return {name: opened(name) for name in self.runners}

    def call(self, graph: str, feed: Arrays) -> dict[str, np.ndarray]:
        """Run one opened graph; every call of a graph comes through here."""
        if self.watch is None:
            return self.runners[graph].run(feed)
        began = time.perf_counter()
        outputs = self.runners[graph].run(feed)
        self.watch(graph, feed, outputs, (time.perf_counter() - began) * 1000)
        return outputs

    def call_together(self, calls: Sequence[Call]) -> list[dict[str, np.ndarray]]:
        """The outputs of several calls of one graph, made as one; `watch` hears of each, with its share of the time."""
        began = time.perf_counter()
        if len(calls) == 1:
            return [self.call(*calls[0])]
        outputs = run_together(self.runners[calls[0].graph], [call.feed for call in calls])
        if self.watch is not None:
            share = (time.perf_counter() - began) * 1000 / len(calls)
            for call, answered in zip(calls, outputs, strict=True):
                self.watch(call.graph, call.feed, answered, share)
        return outputs

    def take(self, step: Step, values: Values) -> None:
        """Run one step on the values made so far, and add what it makes."""
        exhaust(perform(self._take(step, values), self.call))

    def _take(self, step: Step, values: Values) -> Calling[dict[str, Any], None]:
        try:
            yield from self._taken(step, values)
        except (TorchportError, GeneratorExit, MemoryError):
            raise
        except Exception as exc:  # a stranger's wiring and facts reach a host step, which may fail on them in any way
            why = f"step {step.name} failed: {type(exc).__name__}: {str(exc)[:200]}"
            hint = "the input or the Bundle is not what its task takes; TORCHPORT_DEBUG=1 shows where it was met"
            raise RunError(why, hint) from exc

    def _taken(self, step: Step, values: Values) -> Calling[dict[str, Any], None]:
        inputs = {own: values[name] for own, name in step.inputs.items()}
        if self.uses_graph(step):
            assert step.graph is not None, "it is used"
            made = yield Call(step.graph, self._fitted(step, inputs))
        elif step.drives:
            made = yield from self._host[step.name](inputs, self.facts)
        else:
            made = self._host[step.name](inputs, self.facts)
        values.update({name: made[own] for own, name in step.outputs.items()})

    def _fitted(self, step: Step, inputs: Values) -> Values:
        """A graph's inputs within the greatest sizes that its artefact takes, where the step says how they are brought
        there.
        """
        opened = self.runners.get(step.graph or "")
        if step.fit is None or opened is None:
            return inputs
        bound = {spec.name: _max_shape(opened.graph.io[spec.name], spec) for spec in opened.signature.inputs}
        return self.task.host[step.fit]({**inputs, "max_shape": bound}, self.facts)


def _max_shape(io: TensorIO, spec: TensorSpec) -> tuple[int, ...] | None:
    """The greatest size per axis that an artefact takes; None where it sets no bound."""
    bounds = [io.greatest(axis) for axis in range(len(spec.shape))]
    return tuple(_BEYOND if bound is None else bound for bound in bounds) if any(bounds) else None
