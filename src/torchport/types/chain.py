"""The steps of a chain from raw bytes to JSON, as data."""

from __future__ import annotations

from .base import Value


class Levels(Value, frozen=True):
    """How two answers of a step that rounds to levels may differ: a rounding flips where runtimes sum in another order.

    Attributes:
        size: greatest difference of one element, in the output's own unit (one level of 0..255, normalised).
        share: greatest share of elements that may differ at all.
    """

    size: float
    share: float


class Step(Value, frozen=True):
    """One step of the chain from raw bytes to JSON: an exported graph, a named host step, or both.

    Where a step names both, the host step and the graph answer alike (proven when the Bundle is made), and the run half
    takes the host step unless it is asked for the graph.

    Attributes:
        name: what the step is called in reports and golden vectors.
        graph: name of an exported graph.
        host: name of a host step of the task.
        inputs: the step's own input name -> name of a value made by an earlier step (`raw` is the start).
        outputs: the step's own output name -> name of the value it makes.
        fit: a host step that brings the step's inputs within the `max_shape` of the graph's io before it runs.
        levels: set where the step rounds; its graphs are then compared by levels, not by a relative tolerance.
        drives: for a host step that calls graphs itself, as often as the input asks for (a beam search, a cascade):
            graph -> its carried state, output -> input; empty for a graph without state.
    """

    name: str
    graph: str | None = None
    host: str | None = None
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    fit: str | None = None
    levels: Levels | None = None
    drives: dict[str, dict[str, str]] = {}

    @property
    def graphs(self) -> dict[str, dict[str, str]]:
        """Every graph that the step may run, its own first -> its carried state."""
        return ({self.graph: {}} if self.graph else {}) | self.drives
