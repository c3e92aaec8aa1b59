"""One graph, captured by the first rung of a ladder that holds: strict export, non-strict export, trace (needs torch).

Strict export goes first because it reads the Python of forward and refuses what it does not understand; non-strict
export runs that Python once, so a side effect or a value taken out of a tensor's shape by other means passes unseen.
On EfficientNet-Lite0 both give the same 162 operators and answers equal to the bit; strict takes 4.0 s, non-strict 1.2
s (two cores of an AMD EPYC, second call): the demo can afford the stricter one.
Tracing freezes Python decisions silently: it counts only where torch saw none that depends on a tensor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CaptureError
from ..system.noise import quiet
from ..types import Bound
from . import dynamic, words
from .binding import Call, bind, plain, positional, program_inputs
from .dynamic import BATCH, GROUP, Bounds, Dims, Reading, Runs
from .program import Arrays, GraphProgram, flatten_outputs
from .rungs import _checked, _export, _run_eagerly, _runner, _script, _trace, _where, _why_fixed

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from .nature import Watched

RUNGS = ("strict", "non-strict")


def capture_graph(
    name: str,
    source: torch.nn.Module | ExportedProgram,
    examples: Mapping[str, np.ndarray],
    *,
    dims: Dims | None = None,
    bounds: Bounds | None = None,
    rungs: Sequence[str] = RUNGS,
    examined: bool = True,
) -> GraphProgram:
    """Capture one graph from real examples.

    Args:
        name: what the graph is called.
        source: an eager or scripted module in eval mode, or an exported program.
        examples: one batched feed, keyed by forward's argument names (`""` is the first argument; see `bind`).
        dims: input name -> {axis: name of the dynamic dimension}; None makes dimension 0 of every input that shares the
            first one's size `batch`, where the model allows it.
        bounds: dynamic dimension -> the sizes it may have, where not any.
        rungs: ways of torch.export to try, before TorchScript.
        examined: whether to find out first what the answers depend on (see `nature`); not needed for code of ours.

    Returns:
        The graph; `said` tells what each rung that failed said, and under `batch` why the batch is fixed or called
        `group`.

    Raises:
        BadInput: the examples are not forward's arguments.
        CaptureError: the model fails on the examples, its answers are not its inputs' alone, no rung holds, or the
        model
            fixes a dimension that was named; names the submodule and the line of the user's code.
    """
    import torch

    from .state import kept

    if not isinstance(source, torch.nn.Module):
        return _from_program(name, source, examples, dims, bounds or {}, examined)
    with kept(source):
        graph, joined = _from_module(name, source, examples, dims, bounds or {}, rungs, examined)
    return _grouped(graph, joined)


def recaptured(graph: GraphProgram, module: torch.fx.GraphModule, *, free: bool = True) -> GraphProgram:
    """What was made of a captured graph, captured anew from the same examples.

    Args:
        module: takes the graph's inputs, in order.
        free: sizes are as free as the graph's; else those of the examples.

    Raises:
        CaptureError: it cannot be captured.
    """
    inputs = [node.target for node in module.graph.nodes if node.op == "placeholder"]
    renamed = dict(zip((spec.name for spec in graph.signature.inputs), inputs, strict=True))
    return capture_graph(
        graph.name,
        module,
        {renamed[name]: array for name, array in graph.examples.items()},
        dims={renamed[spec.name]: spec.free for spec in graph.signature.inputs} if free else {},
        bounds=graph.signature.dims,
        rungs=("non-strict",),
        examined=False,
    )


def _from_module(
    name: str,
    source: torch.nn.Module,
    examples: Mapping[str, np.ndarray],
    dims: Dims | None,
    bounds: Bounds,
    rungs: Sequence[str],
    examined: bool,
) -> tuple[GraphProgram, str | None]:
    """The graph, and what its items' answers depend on beside themselves."""
    import torch

    call = bind(source, examples)
    wanted = _wanted(call.feed, dims)
    if dims is None:
        call = Call(call.module, _two_items(call.feed, wanted))
    answered = _run_eagerly(call)
    found, joined = _examined(call, wanted) if examined else (None, None)
    if isinstance(source, torch.jit.ScriptModule):
        reading = dynamic.by_running(call.run, wanted, bounds, call.feed)
        signature, said = _checked(reading, call, dims, {})
        signature = dynamic.settle(Reading(signature), call.run, call.run, call.feed, bounds)
        return GraphProgram(name, signature, call.feed, module=call.module, rung="script", said=said), joined
    return _Climb(name, plain(call, answered), wanted, dims, bounds, rungs, found).climb(), joined


def _examined(call: Call, wanted: Dims) -> tuple[Watched, str | None]:
    from . import nature

    return nature.examine(call, [key for key, axes in wanted.items() if axes.get(0) == BATCH])


def _grouped(graph: GraphProgram, joined: str | None) -> GraphProgram:
    """The graph, its batch renamed where one item's answer depends on the others."""
    if joined is None or BATCH not in graph.signature.dims:
        return graph
    if graph.signature.dims[BATCH].min > 1:
        raise CaptureError(
            f"{joined}, and the model does not answer a single item",
            "compute from running statistics in eval mode (track_running_stats), or over other axes than the first",
        )
    why = f"{joined}: items are answered one at a time, and dimension 0 is called '{GROUP}' instead of '{BATCH}'"
    return replace(graph, signature=dynamic.regrouped(graph.signature), said={**graph.said, BATCH: why})


@dataclass
class _Climb:
    """One model on its way up: the call, the dimensions that are to vary, and what failed so far."""

    name: str
    call: Call
    wanted: Dims
    dims: Dims | None
    bounds: Bounds
    rungs: Sequence[str]
    found: Watched | None
    said: dict[str, str] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)

    def climb(self) -> GraphProgram:
        """The first rung that holds with every dimension free; else one that fixes some, where none was named."""
        exported = self._try(self.rungs, self._exported)
        if exported is not None and not exported[1].fixed:
            graph = self._settled(*exported)
            return (
                graph
                if graph.signature.dims.get(BATCH, Bound()).min == 1
                else self._alone("it answers one item in another shape, or by other operators") or graph
            )
        scripted = self._try(("script", "trace"), self._scripted)
        if scripted is not None and (exported is None or not scripted[1].fixed):
            if exported is not None:
                self.said[exported[0].rung] = self._fixes(exported[1], exported[0].exported)
            return self._settled(*scripted)
        if exported is not None:
            named = self.dims is not None or not any(dim == BATCH for _, _, dim, _ in exported[1].fixed)
            return (
                None if named else self._alone(_checked(exported[1], self.call, None, {})[1][BATCH])
            ) or self._settled(*exported)
        last = self.failures[: len(self.rungs)][
            -1
        ]  # torch.export runs the model's own Python and so knows where it was
        raise CaptureError(
            f"graph '{self.name}' cannot be captured{_where(last, self.call)}: {words.reasons(self.said)}",
            words.hint_for(self.found),
        ) from last

    def _fixes(self, reading: Reading, program: ExportedProgram | None) -> str:
        key, axis, dim, size = reading.fixed[0]
        return f"it fixes dimension {axis} of '{key}' at {size}{_why_fixed(self.call, self.wanted, dim, size, program)}"

    def _try(
        self, rungs: Sequence[str], way: Callable[[str], tuple[GraphProgram, Reading, Runs]]
    ) -> tuple[GraphProgram, Reading, Runs] | None:
        from .modes import exporting
        from .state import kept

        for rung in rungs:
            try:
                with (
                    kept(self.call.module),
                    exporting(),
                    quiet(below=logging.CRITICAL, printed=True),
                ):  # a rung that fails must not show in the next
                    return way(rung)
            except Exception as exc:  # torch.export raises whatever the model's code and its own parts raise
                self.said[rung] = words.said_by(exc)
                self.failures.append(exc)
        return None

    def _exported(self, rung: str) -> tuple[GraphProgram, Reading, Runs]:
        outputs = list(flatten_outputs(self.call.run()))
        program = _export(self.call, self.wanted, self.bounds, strict=rung == "strict")
        run = _runner(program)
        dynamic.hold(flatten_outputs(run(self.call.feed)), self.call.run, self.call.feed, "the examples")
        reading = dynamic.of_program(program, self.wanted, self.call.feed, outputs)
        return (
            GraphProgram(
                self.name, reading.signature, self.call.feed, exported=program, module=self.call.module, rung=rung
            ),
            reading,
            run,
        )

    def _scripted(self, rung: str) -> tuple[GraphProgram, Reading, Runs]:
        module = _script(self.call) if rung == "script" else _trace(self.call)
        run = Call(module, self.call.feed).run
        reading = dynamic.by_running(run, self.wanted, self.bounds, self.call.feed, self.call.run)
        return GraphProgram(self.name, reading.signature, self.call.feed, module=module, rung=rung), reading, run

    def _settled(self, graph: GraphProgram, reading: Reading, run: Runs) -> GraphProgram:
        signature, said = _checked(
            reading,
            self.call,
            self.dims,
            self.said if graph.exported is None or not reading.fixed else {},
            graph.exported,
        )
        return replace(
            graph,
            signature=dynamic.settle(Reading(signature), run, self.call.run, self.call.feed, self.bounds),
            said=said,
        )

    def _alone(self, why: str) -> GraphProgram | None:
        """Captured again at one item, where the model answers one; `why` it is not captured with a free batch."""
        if dynamic.sizes(self.call.feed, self.wanted).get(BATCH, 1) == 1:
            return None
        one = Call(self.call.module, dynamic.resized(self.call.feed, self.wanted, BATCH, 1))
        try:
            one.run()
        except Exception:  # the model's code
            return None
        free = {key: {axis: dim for axis, dim in axes.items() if dim != BATCH} for key, axes in self.wanted.items()}
        graph = _Climb(self.name, one, free, self.dims, self.bounds, self.rungs, self.found).climb()
        return replace(graph, said={**graph.said, BATCH: f"{why}: it is captured for one item at a time"})


def _from_program(
    name: str,
    program: ExportedProgram,
    examples: Mapping[str, np.ndarray],
    dims: Dims | None,
    bounds: Bounds,
    examined: bool,
) -> GraphProgram:
    around = positional(program)
    if around is not None:
        captured = capture_graph(name, around, examples, dims=dims, bounds=bounds, examined=examined)
        return GraphProgram(
            name,
            captured.signature,
            captured.examples,
            exported=captured.exported,
            rung=captured.rung,
            said=captured.said,
        )
    names = [one.name for one in program_inputs(program)]
    given = dict(zip(names, examples.values(), strict=False)) if list(examples) == [""] else dict(examples)
    if set(given) != set(names):
        raise CaptureError(
            f"the program takes {', '.join(names)}; there is {', '.join(given)}", "name the inputs as the program does"
        )
    feed = {key: _fitted(given[key], one.value, key) for key, one in zip(names, program_inputs(program), strict=True)}
    with quiet(below=logging.CRITICAL, printed=True):
        call = Call(program.module(check_guards=False), feed)
    outputs = list(flatten_outputs(_run_eagerly(call)))
    reading = dynamic.of_program(program, dims, feed, outputs)
    signature, said = _checked(reading, call, dims, {}, program)
    free = {spec.name: spec.free for spec in signature.inputs}
    joined = _examined(call, free)[1] if examined else None
    program = _plainly_sized(program, call, free)
    graph = GraphProgram(
        name,
        dynamic.settle(Reading(signature), call.run, call.run, feed, bounds),
        feed,
        exported=program,
        rung="exported",
        said=said,
    )
    return _grouped(graph, joined)


def _plainly_sized(program: ExportedProgram, call: Call, free: Dims) -> ExportedProgram:
    """The program with a symbol for each free size of its inputs, where it has arithmetic (`16*h`), which converters do
    not read.

    The signature keeps the multiple. Where that cannot be captured, the program stays as it is.
    """
    sizes = [dynamic.expression(size) for one in program_inputs(program) for size in one.value.shape]
    if all(isinstance(size, int) or size.is_Symbol for size in sizes):
        return program
    try:
        with quiet(below=logging.CRITICAL, printed=True):
            plain = _export(call, free, {}, strict=False)
            dynamic.hold(flatten_outputs(_runner(plain)(call.feed)), call.run, call.feed, "the examples")
    except Exception:  # torch.export raises whatever its own parts raise
        return program
    return plain


def _fitted(array: np.ndarray, value: torch.Tensor, name: str) -> np.ndarray:
    """An example at the batch that a program was exported for, where that is fixed; every other size has to be
    right.
    """
    takes, dtype = [dynamic.expression(size) for size in value.shape], dynamic.dtype_name(value.dtype, name)
    differ = [
        axis
        for axis, (size, have) in enumerate(zip(takes, array.shape, strict=False))
        if isinstance(size, int) and size != have
    ]
    if dtype != array.dtype.name or array.ndim != value.ndim or any(differ):  # axis 0 may differ
        raise CaptureError(
            f"the program takes '{name}' as {dtype}{takes}; there is {array.dtype.name}{list(array.shape)}",
            "give data of that type and shape",
        )
    if differ:
        return np.asarray(np.take(array, np.arange(takes[0]) % array.shape[0], 0))
    return array


def _wanted(feed: Arrays, dims: Dims | None) -> Dims:
    if dims is None:
        return dynamic.by_default(feed)
    dynamic.sizes(feed, {key: dims.get(key, {}) for key in feed})
    return {key: dims.get(key, {}) for key in feed}


def _two_items(feed: Arrays, wanted: Dims) -> Arrays:
    """A batch of one becomes two alike: torch.export takes a size of 1 for a constant."""
    return dynamic.resized(feed, wanted, BATCH, 2) if dynamic.sizes(feed, wanted).get(BATCH) == 1 else feed
