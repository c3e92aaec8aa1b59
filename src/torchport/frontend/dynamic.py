"""Which dimensions of a graph are dynamic, what they are called, and how large they may be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CaptureError
from ..types import Bound, Signature, TensorSpec
from .binding import program_inputs, program_outputs
from .program import Arrays, flatten_outputs

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

BATCH = "batch"

GROUP = "group"
"""What `batch` is called where an item's answer depends on the others: such items are answered together or one at a
time, never joined with other callers' or divided."""

ALIKE = 1e-4
"""Greatest difference, relative to the largest number of an output, between a graph and its model."""

Dims = Mapping[str, Mapping[int, str]]
Bounds = Mapping[str, Bound]
Runs = Callable[[Mapping[str, np.ndarray]], Any]


@dataclass
class Reading:
    """A signature, and the wanted dimensions that turned out to be fixed: (input, axis, name, size)."""

    signature: Signature
    fixed: list[tuple[str, int, str, int]] = field(default_factory=list)


def by_default(feed: Mapping[str, np.ndarray]) -> dict[str, dict[int, str]]:
    """Dimension 0 of every input that shares its size with the first one is `batch`."""
    size = next((array.shape[0] for array in feed.values() if array.ndim), None)
    return {name: {0: BATCH} if array.ndim and array.shape[0] == size else {} for name, array in feed.items()}


def resized(feed: Mapping[str, np.ndarray], dims: Dims, name: str, size: int) -> Arrays:
    """A feed with one dynamic dimension at another size: cut, or its last slice repeated."""
    out: Arrays = {}
    for key, array in feed.items():
        for axis, dim in dims.get(key, {}).items():
            if dim == name:
                array = np.take(array, np.minimum(np.arange(size), array.shape[axis] - 1), axis)
        out[key] = array
    return out


def sizes(feed: Mapping[str, np.ndarray], dims: Dims) -> dict[str, int]:
    """Dynamic dimension -> its size in a feed.

    Raises:
        CaptureError: one name, two sizes.
    """
    found: dict[str, int] = {}
    for key, axes in dims.items():
        for axis, name in axes.items():
            size = feed[key].shape[axis]
            if found.setdefault(name, size) != size:
                raise CaptureError(
                    f"'{name}' is {found[name]} in one input and {size} in '{key}'",
                    "give the two dimensions two names, or the same size",
                )
    return found


def of_program(
    program: ExportedProgram, wanted: Dims | None, feed: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> Reading:
    """Read the signature of a torch.export program from the shapes it recorded.

    Args:
        wanted: names of the dimensions; None names what the program left open: the first input's dimension 0 is
        `batch`,
            any other is called after its input and axis.
        feed: its keys are the input names, in order.
        outputs: names of the outputs, in order.
    """
    symbols: dict[Any, str] = {}
    fixed: list[tuple[str, int, str, int]] = []
    inputs: list[TensorSpec] = []
    for name, (_, value) in zip(feed, program_inputs(program), strict=True):
        shape: list[int | str] = []
        for axis, size in enumerate(value.shape):
            dim, expr = (wanted or {}).get(name, {}).get(axis), expression(size)
            if isinstance(expr, int):
                if dim:
                    fixed.append((name, axis, dim, expr))
                shape.append(expr)
            else:
                first = wanted is None and axis == 0 and BATCH not in symbols.values()
                shape.append(symbols.setdefault(expr, dim or (BATCH if first else f"{name}_{axis}")))
        inputs.append(TensorSpec(name=name, dtype=dtype_name(value.dtype, name), shape=tuple(shape)))
    bounds = {name: _range(program, symbol) for symbol, name in symbols.items()}
    answered = [
        TensorSpec(
            name=name, dtype=dtype_name(value.dtype, name), shape=tuple(_spelled(size, symbols) for size in value.shape)
        )
        for name, value in zip(outputs, program_outputs(program), strict=True)
    ]
    return Reading(Signature(inputs=tuple(inputs), outputs=tuple(answered), dims=bounds), fixed)


def by_running(
    run: Runs, wanted: Dims, bounds: Bounds, feed: Mapping[str, np.ndarray], model: Runs | None = None
) -> Reading:
    """The signature of something that can only be run: at the examples' sizes, then each dynamic dimension at another.

    Args:
        model: what `run` was made from, and has to answer like at each of these sizes; None where it is the source
        itself.

    Raises:
        CaptureError: one name stands for two sizes, or the answers are not the model's.
    """
    answered = flatten_outputs(run(feed))
    hold(answered, model, feed, "the examples")
    base = {name: tuple(value.shape) for name, value in answered.items()}
    shapes: dict[str, list[int | str]] = {name: list(shape) for name, shape in base.items()}
    fixed: list[tuple[str, int, str, int]] = []
    held: set[str] = set()
    for dim, size in sizes(feed, wanted).items():
        bound = bounds.get(dim, Bound())
        other = size + bound.multiple if bound.holds(size + bound.multiple) else size - bound.multiple
        there = resized(feed, wanted, dim, other)
        try:
            if model is not None:
                model(there)
        except Exception:  # the model itself takes no other size
            fixed += _places(wanted, dim, size)
            continue
        try:
            values = flatten_outputs(run(there))
            moved = {name: tuple(value.shape) for name, value in values.items()}
        except Exception:  # the code of a stranger's model: however it fails, the dimension is fixed
            fixed += _places(wanted, dim, size)
            continue
        hold(values, model, there, f"{dim} {other}")
        held.add(dim)
        for name, shape in base.items():
            for axis, (old, new) in enumerate(zip(shape, moved[name], strict=True)):
                if old != new:
                    shapes[name][axis] = _linear(dim, (size, old), (other, new)) or _fresh(
                        str(s) for shape in shapes.values() for s in shape
                    )
    inputs = tuple(
        TensorSpec(
            name=key,
            dtype=array.dtype.name,
            shape=tuple(_held(wanted.get(key, {}).get(axis), size, held) for axis, size in enumerate(array.shape)),
        )
        for key, array in feed.items()
    )
    outputs = tuple(
        TensorSpec(name=name, dtype=dtype_name(answered[name].dtype, name), shape=tuple(shape))
        for name, shape in shapes.items()
    )
    return Reading(
        Signature(
            inputs=inputs, outputs=outputs, dims={dim: Bound(max=bounds.get(dim, Bound()).max) for dim in sorted(held)}
        ),
        fixed,
    )


def _places(wanted: Dims, dim: str, size: int) -> list[tuple[str, int, str, int]]:
    return [(key, axis, dim, size) for key, axes in wanted.items() for axis, name in axes.items() if name == dim]


def settle(reading: Reading, run: Runs, model: Runs, feed: Mapping[str, np.ndarray], bounds: Bounds) -> Signature:
    """The signature with lower bounds that were tried: 1 where model and graph answer alike at size 1, else 2.

    torch.export gives every dynamic dimension a lower bound of 2, for it takes sizes 0 and 1 for constants; most graphs
    run at 1 all the same.
    """
    signature = reading.signature
    dims = {spec.name: spec.free for spec in signature.inputs}
    settled = {}
    for name, bound in signature.dims.items():
        asked = bounds.get(name, Bound())
        least = max(bound.min, asked.min)
        if bound.min <= 2 and asked.holds(1):
            least = 1 if _holds_at_one(signature, name, run, model, resized(feed, dims, name, 1)) else 2
        most = min((m for m in (bound.max, asked.max) if m is not None), default=None)
        multiple = math.lcm(bound.multiple, asked.multiple)
        settled[name] = Bound(min=-(-least // multiple) * multiple, max=most, multiple=multiple)
    return Signature(inputs=signature.inputs, outputs=signature.outputs, dims=settled)


def expression(size: Any) -> Any:
    """A recorded size as a number, where the graph fixes it, else as a sympy expression."""
    if isinstance(size, int):
        return size
    expr = size.node.expr
    return int(expr) if expr.is_Integer else expr


def dtype_name(dtype: torch.dtype, tensor: str) -> str:
    """numpy's name of a torch dtype.

    Raises:
        CaptureError: numpy has no such type (bfloat16, quantised types).
    """
    name = str(dtype).removeprefix("torch.")
    try:
        known = np.dtype(name)
    except TypeError:
        known = None
    if (
        known is None or known.isbuiltin != 1
    ):  # other packages add bfloat16 and its like to numpy when they are imported
        raise CaptureError(f"'{tensor}' is {name}, which numpy does not have", "convert it in the model: .float()")
    return known.name


def _range(program: ExportedProgram, symbol: Any) -> Bound:
    """The recorded range of a dimension, which may be derived from another (`16*h`)."""
    import sympy  # type: ignore[import-untyped]

    derived = not symbol.is_Symbol and len(symbol.free_symbols) == 1
    base = next(iter(symbol.free_symbols)) if derived else symbol
    known = program.range_constraints.get(base)
    if known is None:
        return Bound()
    ends = [symbol.xreplace({base: end}) if derived else end for end in (known.lower, known.upper)]
    least, most = (int(end) if isinstance(end, sympy.Integer) else None for end in ends)
    factor, rest = symbol.as_coeff_Mul()
    return Bound(
        min=max(1, least or 1), max=most, multiple=int(factor) if derived and rest == base and factor.is_Integer else 1
    )


def _spelled(size: Any, symbols: dict[Any, str]) -> int | str:
    """A size as a number, a name, or arithmetic over names such as `2*batch`; a fresh name where it depends on more."""
    import sympy

    expr = expression(size)
    if isinstance(expr, int):
        return expr
    if expr in symbols:
        return symbols[expr]
    if same := next((name for symbol, name in symbols.items() if symbol.is_Symbol and _always(expr, symbol)), None):
        return same
    if expr.free_symbols <= set(symbols):
        return str(
            expr.xreplace({symbol: sympy.Symbol(name, integer=True) for symbol, name in symbols.items()})
        ).replace(" ", "")
    return symbols.setdefault(expr, _fresh(symbols.values()))


def _always(expr: Any, symbol: Any) -> bool:
    """Whether an expression such as `(b*l + l - 1) // l` is one of its symbols, whatever their values: tried on
    some.
    """
    import sympy

    free = sorted(expr.free_symbols, key=str)
    if symbol not in free:
        return False
    tried = [{one: sympy.Integer((7 * k + 5 * i + k * i) % 61 + 2) for i, one in enumerate(free)} for k in range(16)]
    return all(expr.xreplace(values) == values[symbol] for values in tried)


def _held(dim: str | None, size: int, held: Collection[str]) -> int | str:
    return dim if dim is not None and dim in held else size


def _fresh(taken: Iterable[str]) -> str:
    return f"d{sum(name.startswith('d') and name[1:].isdecimal() for name in taken)}"


def _linear(dim: str, one: tuple[int, int], two: tuple[int, int]) -> str | None:
    """An output's size as a multiple of `dim` plus a constant, through two points; None where it is something else."""
    slope, rest = divmod(two[1] - one[1], two[0] - one[0])
    if rest or not slope:
        return None
    offset = one[1] - slope * one[0]
    scaled = dim if slope == 1 else f"{slope}*{dim}"
    return f"{scaled}{offset:+d}" if offset else scaled


def hold(values: Mapping[str, torch.Tensor], model: Runs | None, feed: Mapping[str, np.ndarray], where: str) -> None:
    """Raise a CaptureError where a graph's answers are not its model's; there is nothing to see without a model."""
    if model is not None and not _alike(values, flatten_outputs(model(feed))):
        raise CaptureError(f"it answers differently from the model at {where}")


def _alike(got: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> bool:
    """Whether two answers agree in names, dtypes, shapes and, but for the last digits, values."""
    import torch

    def scale(value: torch.Tensor) -> float:
        return (
            float(torch.nan_to_num(value, posinf=0, neginf=0).abs().max())
            if value.numel() and (value.is_floating_point() or value.is_complex())
            else 0.0
        )

    return list(got) == list(wanted) and all(
        got[name].shape == value.shape
        and got[name].dtype == value.dtype
        and torch.allclose(got[name], value, rtol=0.0, atol=ALIKE * scale(value), equal_nan=True)
        for name, value in wanted.items()
    )


def regrouped(signature: Signature) -> Signature:
    """The signature with its `batch` called `group`."""

    def spelled(size: int | str) -> int | str:
        return re.sub(rf"\b{BATCH}\b", GROUP, size) if isinstance(size, str) else size

    def renamed(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(name=spec.name, dtype=spec.dtype, shape=tuple(map(spelled, spec.shape))) for spec in specs
        )

    dims = {GROUP if name == BATCH else name: bound for name, bound in signature.dims.items()}
    return Signature(inputs=renamed(signature.inputs), outputs=renamed(signature.outputs), dims=dims)


def _holds_at_one(signature: Signature, dim: str, run: Runs, model: Runs, feed: Mapping[str, np.ndarray]) -> bool:
    """Whether graph and model answer a feed with `dim` at 1 alike, in the shapes that the signature says."""
    try:
        got, wanted = flatten_outputs(run(feed)), flatten_outputs(model(feed))
    except Exception:  # whatever the model's code raises at this size: it does not take it
        return False
    if not _alike(got, wanted):
        return False
    for spec in signature.outputs:
        shape = tuple(got[spec.name].shape)
        if len(shape) != len(spec.shape):
            return False
        if any(
            size != (1 if said == dim else said)
            for size, said in zip(shape, spec.shape, strict=True)
            if said == dim or isinstance(said, int)
        ):
            return False
    return True
