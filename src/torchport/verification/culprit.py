"""The operator that a target fails on: its file cannot be made, cannot be run, or answers differently from the model.

Converters and runtimes name nodes of their own, or none. So the beginning of the graph is converted and run, ever
shorter or longer, until the first operator is found with which it fails; the exported program knows its line.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput, TorchportError
from ..frontend.layers import beginning, is_seen
from ..system.disk import temporary
from ..targets import Target
from ..targets.base import ExportOptions
from .trials import trials

if TYPE_CHECKING:
    import torch

    from ..frontend.program import GraphProgram

PATIENCE_S = 45.0
"""Seconds that may go into looking for the operator; without it the failure stands in the target's own words."""

FAR = 10.0
"""How many times as far as a target's tolerance an operator's answer has to be: rounding adds up on the way."""

MOST_NAMED = 5


def culprit(target: Target, graph: GraphProgram, said: str) -> str | None:
    """The first operator that a target fails on, with the line of the user's code, such as `aten.cumprod.default, at
    net.py:7 in forward: y = x.cumprod(1)`; None where it cannot be told.

    Args:
        target: one that failed on the graph with the plain recipe.
        graph: as captured.
        said: what it failed with; an operator of the program that is named there is taken at its word.
    """
    if graph.exported is None or target.needs("fp32"):
        return None
    told = _named(graph, said)
    return told if told is not None else _bisected(target, graph)


def _named(graph: GraphProgram, said: str) -> str | None:
    """The operators of the program that a message names."""
    assert graph.exported is not None, "the caller looked"
    words = {word.rstrip(".") for word in re.findall(r"\w+[.:]+\w+(?:\.\w+)?", said.replace("::", "."))}
    nodes = [
        node
        for node in graph.exported.graph.nodes
        if node.op == "call_function" and {str(node.target), str(node.target).rpartition(".")[0]} & words
    ]
    return _told(nodes) if nodes else None


def _told(nodes: Sequence[torch.fx.Node]) -> str:
    """Operators, and where the last of them stands."""
    from ..frontend.blame import line_of_trace

    names = list(dict.fromkeys(str(node.target) for node in nodes))
    line = next((line for node in reversed(nodes) if (line := line_of_trace(node.meta.get("stack_trace") or ""))), None)
    return ", ".join(names[:MOST_NAMED]) + (f", at {line}" if line else "")


def _bisected(target: Target, graph: GraphProgram) -> str | None:
    deadline = time.monotonic() + PATIENCE_S
    assert graph.exported is not None, "the caller looked"
    try:
        module: Any = graph.exported.module(check_guards=False)
        nodes = list(module.graph.nodes)
        cuts = [at for at in range(len(nodes)) if _is_cut(nodes, at)]

        def fails(place: int) -> bool:
            if time.monotonic() > deadline:
                raise TimeoutError
            return _fails(target, beginning(graph, module, nodes[cuts[place]].name))

        if not cuts or not fails(len(cuts) - 1):
            return None
        most = bisect_left(range(len(cuts) - 1), True, key=fails)
    except Exception:  # a beginning need not be a program that torch captures; what is looked for is a courtesy
        return None
    between = nodes[cuts[most - 1] + 1 if most else 0 : cuts[most] + 1]
    wrong = [node for node in between if node.op == "call_function" and _is_operator(node)]
    return _told(wrong) if wrong else None


def _is_operator(node: torch.fx.Node) -> bool:
    import torch

    return isinstance(node.target, torch._ops.OpOverload) and not re.search(r"sym_|_assert", str(node.target))


def _is_cut(nodes: Sequence[torch.fx.Node], at: int) -> bool:
    """Whether the graph may end behind a node, which is itself an output there."""
    return nodes[at].op == "call_function" and is_seen(nodes[at].meta.get("val"))


def _fails(target: Target, graph: GraphProgram) -> bool:
    """Whether a target cannot convert or run a graph, or answers it otherwise."""
    from ..targets.eager import ModuleRunner

    allowed = FAR * (target.tolerance("fp32") or 1e-4)
    with temporary() as folder, ModuleRunner(graph) as reference:
        try:
            made, _ = target.convert(graph, Path(folder), ExportOptions(), None)
            with target.runner(graph.signature, made, Path(folder)) as runner:
                for trial in trials(graph.name, graph.examples, reference):
                    try:
                        answered = runner.run(trial.feed)
                    except BadInput:
                        continue
                    if any(_far(trial.outputs[name], got, allowed) for name, got in answered.items()):
                        return True
        except TorchportError:
            return True
        except Exception:  # a runtime that refuses a file raises what it likes
            return True
    return False


def _far(reference: np.ndarray, got: np.ndarray, allowed: float) -> bool:
    if reference.shape != got.shape or (reference.dtype.kind != "f" and not np.array_equal(reference, got)):
        return True
    a, b = reference.astype(np.float64), got.astype(np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return True
    a, b = np.where(np.isfinite(a), a, 0.0), np.where(np.isfinite(b), b, 0.0)
    return bool(np.abs(a - b).max(initial=0.0) > allowed * max(np.abs(a).max(initial=0.0), 1e-30))
