"""One graph, captured by the first rung of a ladder that holds: strict export, non-strict export, trace (needs torch).

Strict export goes first because it reads the Python of forward and refuses what it does not understand; non-strict
export runs that Python once, so a side effect or a value taken out of a tensor's shape by other means passes unseen.
On EfficientNet-Lite0 both give the same 162 operators and answers equal to the bit; strict takes 4.0 s, non-strict 1.2 s
(two cores of an AMD EPYC, second call): the demo can afford the stricter one.
Tracing freezes Python decisions silently: it counts only where torch saw none that depends on a tensor.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CaptureError, TorchportError
from ..types import Bound, Signature
from . import dynamic
from .binding import Call, bind, plain, positional, program_inputs, tensors
from .blame import first_line, module_of, place_of, shown
from .dynamic import BATCH, Bounds, Dims, Reading
from .program import Arrays, GraphProgram, flatten_outputs

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

RUNGS = ("strict", "non-strict")

DATA_DEPENDENT = "compute with tensors what forward decides in Python (torch.where for if, gather for an index), or leave that part out of the model"


def capture_graph(
    name: str,
    source: torch.nn.Module | ExportedProgram,
    examples: Mapping[str, np.ndarray],
    *,
    dims: Dims | None = None,
    bounds: Bounds | None = None,
    rungs: Sequence[str] = RUNGS,
) -> GraphProgram:
    """Capture one graph from real examples.

    Args:
        name: what the graph is called.
        source: an eager or scripted module in eval mode, or an exported program.
        examples: one batched feed, keyed by forward's argument names (`""` is the first argument).
        dims: input name -> {axis: name of the dynamic dimension}; None makes dimension 0 of every input that shares the
            first one's size `batch`, where the model allows it.
        bounds: dynamic dimension -> the sizes it may have, where not any.
        rungs: ways of torch.export to try, before a trace.

    Returns:
        The graph; `said` tells what each rung that failed said, and under `batch` why the batch is fixed.

    Raises:
        BadInput: the examples are not forward's arguments.
        CaptureError: the model fails on the examples, no rung holds, or the model fixes a dimension that was named; names
            the submodule and the line of the user's code.
    """
    import torch

    if not isinstance(source, torch.nn.Module):
        return _from_program(name, source, examples, dims, bounds or {})
    call = bind(source, examples)
    wanted = _wanted(call.feed, dims)
    if dims is None:
        call = Call(call.module, _two_items(call.feed, wanted))
    answered = _run_eagerly(call)
    if isinstance(source, torch.jit.ScriptModule):
        reading = dynamic.by_running(call.run, wanted, bounds or {}, call.feed)
        signature, said = _checked(reading, call, dims, {})
        return GraphProgram(name, dynamic.settle(Reading(signature), call.run, call.run, call.feed, bounds or {}), call.feed, module=call.module, rung="script", said=said)
    return _climb(name, plain(call, answered), wanted, dims, bounds or {}, rungs)


def _climb(name: str, call: Call, wanted: Dims, dims: Dims | None, bounds: Bounds, rungs: Sequence[str]) -> GraphProgram:
    outputs = list(flatten_outputs(call.run()))
    said: dict[str, str] = {}
    failures: list[BaseException] = []
    for rung in rungs:
        try:
            with _quiet():
                program = _export(call, wanted, bounds, strict=rung == "strict")
                run = _runner(program)
                run(call.feed)
            reading = dynamic.of_program(program, wanted, call.feed, outputs)
        except CaptureError:
            raise
        except Exception as exc:  # torch.export raises whatever the model's code and its own parts raise
            said[rung] = _said(exc)
            failures.append(exc)
            continue
        signature, said = _checked(reading, call, dims, said, program)
        signature = dynamic.settle(Reading(signature), run, call.run, call.feed, bounds)
        return GraphProgram(name, signature, call.feed, exported=program, module=call.module, rung=rung, said=said)
    try:
        with _quiet():
            traced = _trace(call)
        graph = Call(traced, call.feed)
        reading = dynamic.by_running(graph.run, wanted, bounds, call.feed)
    except Exception as exc:  # as above
        said["trace"] = _said(exc)
        raise _none_holds(name, call, failures, said) from exc
    signature, said = _checked(reading, call, dims, said)
    return GraphProgram(name, dynamic.settle(Reading(signature), graph.run, call.run, call.feed, bounds), call.feed, module=traced, rung="trace", said=said)


def _from_program(name: str, program: ExportedProgram, examples: Mapping[str, np.ndarray], dims: Dims | None, bounds: Bounds) -> GraphProgram:
    around = positional(program)
    if around is not None:
        captured = capture_graph(name, around, examples, dims=dims, bounds=bounds)
        return GraphProgram(name, captured.signature, captured.examples, exported=captured.exported, rung=captured.rung, said=captured.said)
    names = [one.name for one in program_inputs(program)]
    given = dict(zip(names, examples.values(), strict=False)) if list(examples) == [""] else dict(examples)
    if set(given) != set(names):
        raise CaptureError(f"the program takes {', '.join(names)}; there is {', '.join(given)}", "name the inputs as the program does")
    feed = {key: _fitted(given[key], one.value, key) for key, one in zip(names, program_inputs(program), strict=True)}
    with _quiet():
        call = Call(program.module(), feed)
    outputs = list(flatten_outputs(_run_eagerly(call)))
    reading = dynamic.of_program(program, dims, feed, outputs)
    signature, said = _checked(reading, call, dims, {}, program)
    return GraphProgram(name, dynamic.settle(Reading(signature), call.run, call.run, feed, bounds), feed, exported=program, rung="exported", said=said)


def _fitted(array: np.ndarray, value: torch.Tensor, name: str) -> np.ndarray:
    """An example at the batch that a program was exported for, where that is fixed; every other size has to be right."""
    takes, dtype = [dynamic.expression(size) for size in value.shape], dynamic.dtype_name(value.dtype, name)
    differ = [axis for axis, (size, have) in enumerate(zip(takes, array.shape, strict=False)) if isinstance(size, int) and size != have]
    if dtype != array.dtype.name or array.ndim != value.ndim or any(differ):  # axis 0 may differ
        raise CaptureError(f"the program takes '{name}' as {dtype}{takes}; there is {array.dtype.name}{list(array.shape)}", "give data of that type and shape")
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


def _run_eagerly(call: Call) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call.run()
    except TorchportError:
        raise
    except Exception as exc:  # the user's code
        shapes = ", ".join(f"{key} {array.dtype.name}{list(array.shape)}" for key, array in call.feed.items())
        raise CaptureError(f"the model fails on {shapes}{_where(exc, call)}: {first_line(exc)}", "check the inputs against what forward takes, or fix that line") from exc


def _export(call: Call, wanted: Dims, bounds: Bounds, *, strict: bool) -> ExportedProgram:
    import torch
    from torch.export import Dim

    def shape(key: str) -> dict[int, Any] | None:
        return {axis: Dim.AUTO(max=most) if (most := bounds.get(dim, Bound()).max) else Dim.AUTO for axis, dim in wanted[key].items()} or None

    shapes: Any = tuple(shape(key) for key in call.feed)
    if _takes_anything(call.module):
        shapes = (shapes,)
    with torch.no_grad():
        return torch.export.export(call.module, tensors(call.feed), dynamic_shapes=shapes, strict=strict)


def _takes_anything(module: torch.nn.Module) -> bool:
    """Whether forward collects its inputs in `*args`, for which torch.export wants one tuple of shapes."""
    import inspect

    return any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(module.forward).parameters.values())


def _runner(program: ExportedProgram) -> Callable[[Mapping[str, np.ndarray]], Any]:
    return Call(program.module(), {}).run


def _trace(call: Call) -> torch.jit.ScriptModule:
    import torch
    from torch.jit._trace import TracerWarning

    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always")
        traced = torch.jit.trace(call.module, tensors(call.feed), strict=False, check_trace=False)  # type: ignore[no-untyped-call]
    frozen = next((w for w in caught if issubclass(w.category, TracerWarning) and "Converting a tensor to a Python" in str(w.message)), None)
    if frozen is not None:
        raise CaptureError(f"it would freeze a Python value that depends on a tensor, at {shown(frozen.filename)}:{frozen.lineno}")
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced


def _checked(reading: Reading, call: Call, dims: Dims | None, said: Mapping[str, str], program: ExportedProgram | None = None) -> tuple[Signature, dict[str, str]]:
    """The signature read, where no dimension that the user named is fixed; a fixed default batch is a note."""
    if not reading.fixed:
        return reading.signature, dict(said)
    name, axis, dim, size = reading.fixed[0]
    why = _why_fixed(call, {name: {axis: dim} for name, axis, dim, _ in reading.fixed}, dim, size, program)
    if dims is not None:
        raise CaptureError(f"the model fixes dimension {axis} of '{name}' at {size}, '{dim}' cannot vary{why}", f"write {size} in place of {dim}, or change that line")
    return reading.signature, {**said, BATCH: f"the model fixes dimension 0 of '{name}' at {size}{why}"}


def _why_fixed(call: Call, dims: Dims, dim: str, size: int, program: ExportedProgram | None) -> str:
    """Where a size is fixed: the line that fails at another size, else the comparison torch.export recorded."""
    try:
        call.run(dynamic.resized(call.feed, dims, dim, size + 1))
    except Exception as exc:  # the line is what is wanted
        return f"{_where(exc, call)}: {first_line(exc)}"
    values = [one.value for one in program_inputs(program)] if program else []
    guards = [str(guard.sloc) for value in values if hasattr(value, "fake_mode") for guard in value.fake_mode.shape_env.guards if guard.expr.is_Relational]
    places = [found for text in guards if (found := re.search(r"([\w./-]+\.py:\d+) in \w+", text)) and not found[1].startswith("_")]
    return f", at {Path(places[-1][1]).name}" if places else ""


def _where(exc: BaseException, call: Call) -> str:
    module, place = module_of(exc, call.module), place_of(exc)
    return (f" in module {module}" if module else "") + (f", at {place}" if place else "")


def _said(exc: BaseException) -> str:
    place = place_of(exc)
    return f"{first_line(exc)} (at {place})" if place else first_line(exc)


def _none_holds(name: str, call: Call, failures: list[BaseException], said: Mapping[str, str]) -> CaptureError:
    """The error of the last rung of torch.export, which runs the model's own Python and so knows where it was."""
    last = failures[-1]
    return CaptureError(f"graph '{name}' cannot be captured{_where(last, call)}: {'; '.join(f'{rung}: {text}' for rung, text in said.items())}", DATA_DEPENDENT)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What torch writes while it captures is for its developers; what matters comes as an exception."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
