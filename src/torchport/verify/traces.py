"""Traces: every value of the chain for one item, by the reference. Kept in memory while deploying, in a Bundle as golden vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..errors import BundleError, RunError
from ..targets.base import Runner
from ..tasks import Item, Pipeline, Task
from ..tasks.base import Facts
from ..types import Signature, Step

IN_GRAPH = "in_graph/"


@dataclass(frozen=True)
class Plan:
    """A chain without runners: what a task, its facts and a model's signature make of it."""

    task: Task
    facts: Facts
    steps: tuple[Step, ...]
    graphs: Mapping[str, Signature]

    def pipeline(self, runners: Mapping[str, Runner], *, in_graph: bool = False) -> Pipeline:
        """The chain with opened graphs."""
        return Pipeline(self.task, self.facts, self.steps, runners, in_graph)

    def has_choice(self) -> bool:
        """Whether any step can be answered by the host and by a graph."""
        return any(step.graph and step.host for step in self.steps)


@dataclass(frozen=True)
class Trace:
    """One item's values by the reference.

    Attributes:
        host: the chain that prefers host steps, `raw` to `result`.
        graph: the chain that prefers exported graphs; the same object where no step has a choice.
    """

    name: str
    label: Any
    host: Mapping[str, Any]
    graph: Mapping[str, Any]


def trace(plan: Plan, item: Item, runners: Mapping[str, Runner], *, both: bool) -> Trace:
    """The reference's values for one item.

    Raises:
        BadInput: the item cannot be read or decoded.
        RunError: the model fails on it, or answers NaN.
    """
    raw = item.read()
    host = plan.pipeline(runners).answer(raw)
    _finite(plan, host, item.name)
    graph = plan.pipeline(runners, in_graph=True).answer(raw) if both and plan.has_choice() else host
    return Trace(item.name, item.label, host, graph)


def _finite(plan: Plan, values: Mapping[str, Any], where: str) -> None:
    for step in plan.steps:
        for own, name in step.outputs.items() if step.graph else ():
            array = values[name]
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise RunError(f"the model's output '{own}' holds NaN or infinity on {where}", "check the weights and the preprocessing facts; nothing was written")


def save(path: Path, traces: Sequence[Trace]) -> None:
    """Write golden vectors: `<item>/<value>`, and `<item>/in_graph/<value>` where the graph chain differs."""
    from safetensors.numpy import save as pack

    arrays: dict[str, np.ndarray] = {}
    for i, one in enumerate(traces):
        arrays.update({f"{i}/{name}": _pack(value) for name, value in one.host.items()})
        if one.graph is not one.host:
            arrays.update({f"{i}/{IN_GRAPH}{name}": _pack(value) for name, value in one.graph.items() if value is not one.host.get(name)})
    path.write_bytes(pack(dict(sorted(arrays.items()))))  # save_file would hide from the caller that the disk is full


def load(path: Path, names: Sequence[str], labels: Sequence[Any]) -> list[Trace]:
    """Read golden vectors back."""
    from safetensors.numpy import load as parse

    try:
        arrays = parse(path.read_bytes())
    except Exception as exc:  # safetensors raises its own kind for a malformed file
        raise BundleError(f"{path.name}: golden vectors cannot be read ({exc})", "ask for the Bundle again") from exc
    traces = []
    for i, name in enumerate(names):
        mine = {key.removeprefix(f"{i}/"): value for key, value in arrays.items() if key.startswith(f"{i}/")}
        host = {key: _unpack(key, value) for key, value in mine.items() if not key.startswith(IN_GRAPH)}
        graph = {key.removeprefix(IN_GRAPH): _unpack(key.removeprefix(IN_GRAPH), value) for key, value in mine.items() if key.startswith(IN_GRAPH)}
        traces.append(Trace(name, labels[i] if i < len(labels) else None, host, {**host, **graph} if graph else host))
    return traces


def _pack(value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value)
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return np.frombuffer(raw, np.uint8)


def _unpack(name: str, value: np.ndarray) -> Any:
    if name == "raw":
        return value.tobytes()
    if name == "result":
        return msgspec.json.decode(value.tobytes())
    return value
