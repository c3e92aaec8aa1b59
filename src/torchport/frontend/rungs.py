"""The ways to capture one module, a function each, and what each says when it fails."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CaptureError, TorchportError, first_line
from ..system.noise import quiet
from ..types import Bound, Signature
from . import dynamic, words
from .binding import Call, program_inputs, tensors
from .blame import module_of, place_of, shown
from .dynamic import BATCH, Bounds, Dims, Reading

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def _run_eagerly(call: Call) -> Any:
    try:
        with quiet():
            return call.run()
    except TorchportError:
        raise
    except Exception as exc:  # the user's code
        shapes = ", ".join(f"{key} {array.dtype.name}{list(array.shape)}" for key, array in call.feed.items())
        raise CaptureError(
            f"the model fails on {shapes}{_where(exc, call)}: {first_line(exc)}",
            "check the inputs against what forward takes, or fix that line",
        ) from exc


def _export(call: Call, wanted: Dims, bounds: Bounds, *, strict: bool) -> ExportedProgram:
    import torch
    from torch.export import Dim

    def shape(key: str) -> dict[int, Any] | None:
        return {
            axis: Dim.AUTO(max=most) if (most := bounds.get(dim, Bound()).max) else Dim.AUTO
            for axis, dim in wanted[key].items()
        } or None

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
    return Call(
        program.module(check_guards=False), {}
    ).run  # a guard may shut out a size that the graph answers right; `settle` tries


def _script(call: Call) -> torch.jit.ScriptModule:
    import torch

    scripted = torch.jit.script(call.module)
    assert isinstance(scripted, torch.jit.ScriptModule)
    return scripted


def _trace(call: Call) -> torch.jit.ScriptModule:
    import torch
    from torch.jit._trace import TracerWarning

    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always")
        traced = torch.jit.trace(call.module, tensors(call.feed), strict=False, check_trace=False)  # type: ignore[no-untyped-call]
    frozen = next(
        (
            w
            for w in caught
            if issubclass(w.category, TracerWarning)
            and re.search("Converting a tensor to a Python|Iterating over a tensor", str(w.message))
        ),
        None,
    )
    if frozen is not None:
        raise CaptureError(
            f"it would freeze a Python value that depends on a tensor, at {shown(frozen.filename)}:{frozen.lineno}"
        )
    assert isinstance(traced, torch.jit.ScriptModule)
    return traced


def _checked(
    reading: Reading, call: Call, dims: Dims | None, said: Mapping[str, str], program: ExportedProgram | None = None
) -> tuple[Signature, dict[str, str]]:
    """The signature read, where no dimension that the user named is fixed; a fixed default batch is a note."""
    if not reading.fixed:
        return reading.signature, dict(said)
    name, axis, dim, size = reading.fixed[0]
    why = _why_fixed(call, {name: {axis: dim} for name, axis, dim, _ in reading.fixed}, dim, size, program)
    if dims is not None:
        raise CaptureError(
            f"the model fixes dimension {axis} of '{name}' at {size}, '{dim}' cannot vary{why}",
            f"write {size} in place of {dim}, or change that line",
        )
    return reading.signature, {**said, BATCH: f"the model fixes dimension 0 of '{name}' at {size}{why}"}


def _why_fixed(call: Call, dims: Dims, dim: str, size: int, program: ExportedProgram | None) -> str:
    """Where a size is fixed: the line that fails at another size, else the comparison torch.export recorded."""
    try:
        call.run(dynamic.resized(call.feed, dims, dim, size + 1))
    except Exception as exc:  # the line is what is wanted
        return f"{_where(exc, call)}: {words.plain(exc)}"
    values = [one.value for one in program_inputs(program)] if program else []
    guards = [
        str(guard.sloc)
        for value in values
        if hasattr(value, "fake_mode")
        for guard in value.fake_mode.shape_env.guards
        if guard.expr.is_Relational
    ]
    places = [
        found
        for text in guards
        if (found := re.search(r"([\w./-]+\.py:\d+) in \w+", text)) and not found[1].startswith("_")
    ]
    return f", at {Path(places[-1][1]).name}" if places else ""


def _where(exc: BaseException, call: Call) -> str:
    module, place = module_of(exc, call.module), place_of(exc)
    return (f" in module {module}" if module else "") + (f", at {place}" if place else "")
