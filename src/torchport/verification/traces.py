"""Traces: every value of the chain for one item, by the reference. Kept in memory while deploying, in a Bundle as
golden vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..errors import BundleError, RunError
from ..targets.base import Arrays
from ..targets.shared.runner import Runner
from ..tasks import Item, Pipeline, Plan

IN_GRAPH = "in_graph/"
CALLS = "calls/"

KEPT_CALLS = 3
"""Calls of each driven graph that are kept of an item: the first ones, which see empty, short and longer states."""


@dataclass(frozen=True)
class Call:
    """One call that a driver made of a graph: feed and outputs, by the names of its signature."""

    graph: str
    feed: Arrays
    outputs: Arrays


@dataclass(frozen=True)
class Trace:
    """One item's values by the reference.

    Attributes:
        host: the chain that prefers host steps, `raw` to `result`.
        graph: the chain that prefers exported graphs; the same object where no step has a choice.
        calls: the first calls of each graph that a host step drives, in order.
    """

    name: str
    label: Any
    host: Mapping[str, Any]
    graph: Mapping[str, Any]
    calls: tuple[Call, ...] = ()


def trace(plan: Plan, item: Item, runners: Mapping[str, Runner], *, both: bool) -> Trace:
    """The reference's values for one item.

    Raises:
        BadInput: the item cannot be read or decoded.
        RunError: the model fails on it, or answers NaN.
    """
    raw = item.read()
    calls: list[Call] = []

    def watch(graph: str, feed: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], ms: float) -> None:
        if graph in plan.driven and sum(call.graph == graph for call in calls) < KEPT_CALLS:
            calls.append(Call(graph, _copy(feed), _copy(outputs)))

    host = Pipeline(plan, runners, watch=watch if both else None).answer(raw)
    _finite(plan, host, item.name)
    graph = Pipeline(plan, runners, in_graph=True).answer(raw) if both and plan.has_choice() else host
    return Trace(item.name, item.label, host, graph, tuple(calls))


def _copy(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """A driver may write into its arrays after the call."""
    return {name: np.array(array) for name, array in arrays.items()}


def _finite(plan: Plan, values: Mapping[str, Any], where: str) -> None:
    for step, _ in plan.fed(values, plan.signatures):
        for own, name in step.outputs.items():
            array = values[name]
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise RunError(
                    f"the model's output '{own}' holds NaN or infinity on {where}",
                    "check the weights and the preprocessing facts; nothing was written",
                )


def save(path: Path, traces: Sequence[Trace]) -> None:
    """Write golden vectors.

    Keys are `<item>/<value>`, `<item>/in_graph/<value>` where the graph chain differs, and
    `<item>/calls/<number>/<graph>/in/<tensor>` and `.../out/<tensor>` for the calls that drivers made.
    """
    from safetensors.numpy import save as pack

    arrays: dict[str, np.ndarray] = {}
    for i, one in enumerate(traces):
        arrays.update({f"{i}/{name}": _pack(value) for name, value in one.host.items()})
        if one.graph is not one.host:
            arrays.update(
                {
                    f"{i}/{IN_GRAPH}{name}": _pack(value)
                    for name, value in one.graph.items()
                    if value is not one.host.get(name)
                }
            )
        for number, call in enumerate(one.calls):
            place = f"{i}/{CALLS}{number}/{call.graph}"
            arrays.update({f"{place}/in/{name}": np.asarray(value, order="C") for name, value in call.feed.items()})
            arrays.update({f"{place}/out/{name}": np.asarray(value, order="C") for name, value in call.outputs.items()})
    path.write_bytes(pack(dict(sorted(arrays.items()))))  # save_file would hide from the caller that the disk is full


def load(path: Path, names: Sequence[str], labels: Sequence[Any]) -> list[Trace]:
    """Read golden vectors back.

    Raises:
        BundleError: the file is none of golden vectors, or holds others than those named.
    """
    from safetensors.numpy import load as parse

    try:
        kept: dict[str, dict[str, np.ndarray]] = {}
        for key, value in parse(path.read_bytes()).items():
            item, _, name = key.partition("/")
            kept.setdefault(item, {})[name] = value
        if kept.keys() != {str(i) for i in range(len(names))}:
            raise ValueError(f"{len(names)} items are listed, {len(kept)} are there")
        return [_trace(kept[str(i)], name, labels[i] if i < len(labels) else None) for i, name in enumerate(names)]
    except MemoryError:
        raise
    except (
        Exception
    ) as exc:  # safetensors raises its own kind for a malformed file, and what is in it may be of any shape
        raise BundleError(
            f"{path.name}: golden vectors cannot be read ({type(exc).__name__}: {str(exc)[:200]})",
            "ask for the Bundle again",
        ) from exc


def _trace(mine: dict[str, np.ndarray], name: str, label: Any) -> Trace:
    """One item of a file of golden vectors, from its keys without the item's number."""
    calls = _calls({key.removeprefix(CALLS): mine.pop(key) for key in list(mine) if key.startswith(CALLS)})
    host = {key: _unpack(key, value) for key, value in mine.items() if not key.startswith(IN_GRAPH)}
    graph = {
        key.removeprefix(IN_GRAPH): _unpack(key.removeprefix(IN_GRAPH), value)
        for key, value in mine.items()
        if key.startswith(IN_GRAPH)
    }
    if not {"raw", "result"} <= host.keys():
        raise ValueError(f"item {name[:60]!r} lacks its input or its answer")
    return Trace(name, label, host, {**host, **graph} if graph else host, calls)


def _calls(arrays: Mapping[str, np.ndarray]) -> tuple[Call, ...]:
    found: dict[tuple[int, str], tuple[Arrays, Arrays]] = {}
    for key, value in arrays.items():
        number, graph, side, name = key.split("/", 3)
        found.setdefault((int(number), graph), ({}, {}))[side == "out"][name] = value
    return tuple(Call(graph, feed, outputs) for (_, graph), (feed, outputs) in sorted(found.items()))


def _pack(value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value)
    raw = (
        value
        if isinstance(value, bytes)
        else msgspec.json.encode(
            value, enc_hook=lambda one: one.tolist() if isinstance(one, np.ndarray | np.generic) else str(one)
        )
    )
    return np.frombuffer(raw, np.uint8)


def _unpack(name: str, value: np.ndarray) -> Any:
    if name == "raw":
        return value.tobytes()
    if name == "result":
        return msgspec.json.decode(value.tobytes())
    return value
