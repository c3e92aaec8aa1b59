"""What a Runner is fed: named numpy arrays, checked against the signature before any runtime sees them."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .errors import BadInput, BundleError
from .types import Signature, TensorSpec

Feed = Mapping[str, np.ndarray]
Arrays = dict[str, np.ndarray]


def made_up(specs: Sequence[TensorSpec], size: Callable[[str], int], *, seed: int = 0, below: int = 8) -> Arrays:
    """Seeded arrays that fit: normal floats, integers from 0 on, fair coins for booleans.

    Args:
        size: of a dynamic dimension, by its name.
        below: integers stay below this, so that they can serve as indices into small tables.

    Returns:
        One array an input, of its dtype; the same for the same arguments on every machine.
    """
    rng = np.random.default_rng(seed)

    def values(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        if dtype.kind == "f":
            return np.asarray(rng.standard_normal(shape)).astype(dtype)
        return np.asarray(rng.integers(0, 2 if dtype.kind == "b" else below, shape)).astype(dtype)

    shapes = {spec.name: tuple(d if isinstance(d, int) else size(d) for d in spec.shape) for spec in specs}
    return {spec.name: values(np.dtype(spec.dtype), shapes[spec.name]) for spec in specs}


def cast(name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """The array in another dtype.

    Raises:
        BadInput: an integer is beyond the range of that dtype.
    """
    if np.issubdtype(array.dtype, np.integer) and np.issubdtype(np.dtype(dtype), np.integer) and array.size:
        info = np.iinfo(dtype)
        if array.min() < info.min or array.max() > info.max:
            raise BadInput(
                f"'{name}' holds {array.min()}..{array.max()}, this artefact takes {dtype}",
                "use a variant that keeps 64-bit integers",
            )
    return array.astype(dtype)


def is_batched(spec: TensorSpec) -> bool:
    """Whether a tensor's first dimension counts independent items."""
    return bool(spec.shape) and spec.shape[0] == "batch"


def length(dim: int | str, sizes: Mapping[str, int]) -> int | None:
    """The length of an axis by its entry in a shape: a number, a dimension, or an expression of dimensions such as
    `(length - 9)//4 + 1`; None where the sizes do not tell.
    """
    if isinstance(dim, int):
        return dim
    if dim in sizes:
        return sizes[dim]
    try:
        return _value(ast.parse(dim, mode="eval").body, sizes)
    except (SyntaxError, KeyError, TypeError, ArithmeticError, RecursionError, MemoryError):
        return None


_BINARY: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_CALLS: dict[str, Callable[[int, int], int]] = {"Max": max, "Min": min, "Mod": operator.mod}


def _value(node: ast.expr, sizes: Mapping[str, int]) -> int:
    """An expression of whole numbers and names; raises KeyError or TypeError where it is anything else."""
    match node:
        case ast.Constant(value=int() as value):
            return value
        case ast.Name(id=name):
            return sizes[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, sizes)
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, sizes), _value(right, sizes))
        case ast.Call(func=ast.Name(id=name), args=[left, right], keywords=[]):
            return _CALLS[name](_value(left, sizes), _value(right, sizes))
    raise TypeError(f"{type(node).__name__} is not a length")


def check_feed(signature: Signature, feed: Feed) -> int | None:
    """Check names, dtypes and shapes of a feed; the batch size, or None where the graph has no batch dimension.

    Raises:
        BadInput: names the first tensor that does not fit, and what would.
    """
    known = [spec.name for spec in signature.inputs]
    if sorted(feed) != sorted(known):
        raise BadInput(f"inputs are {sorted(feed)}", f"this graph takes {known}")
    sizes: dict[str, int] = {}
    for spec in signature.inputs:
        array = np.asarray(feed[spec.name])
        wanted = f"'{spec.name}' takes {spec.dtype}[{','.join(map(str, spec.shape))}]"
        if array.dtype.name != spec.dtype:
            raise BadInput(f"'{spec.name}' is {array.dtype.name}", wanted)
        if array.ndim != len(spec.shape):
            raise BadInput(f"'{spec.name}' has shape {list(array.shape)}", wanted)
        for size, dim in zip(array.shape, spec.shape, strict=True):
            if isinstance(dim, int):
                if size != dim:
                    raise BadInput(f"'{spec.name}' has shape {list(array.shape)}", wanted)
            elif sizes.setdefault(dim, size) != size:
                raise BadInput(
                    f"'{dim}' is {sizes[dim]} in one input and {size} in '{spec.name}'",
                    "give every input the same number of items",
                )
    for dim, size in sizes.items():
        bound = signature.dims.get(dim)
        if bound and not bound.holds(size):
            multiples = f", in multiples of {bound.multiple}" if bound.multiple > 1 else ""
            raise BadInput(
                f"'{dim}' is {size}",
                f"this graph takes {bound.min}..{'any' if bound.max is None else bound.max}{multiples}",
            )
    return sizes.get("batch")


class FeedCheck:
    """`check_feed` of one signature, for a graph that is called often: what fits is told without a list of what is
    wrong.
    """

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._specs = [(spec.name, np.dtype(spec.dtype), spec.shape, len(spec.shape)) for spec in signature.inputs]

    def __call__(self, feed: Feed) -> int | None:
        """The batch size, or None where the graph has no batch dimension; raises BadInput as `check_feed`."""
        sizes: dict[str, int] = {}
        for name, dtype, shape, axes in self._specs:
            array = feed.get(name)
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != axes:
                return check_feed(self._signature, feed)
            for size, dim in zip(array.shape, shape, strict=True):
                wrong = size != dim if isinstance(dim, int) else sizes.setdefault(dim, size) != size
                if wrong:
                    return check_feed(self._signature, feed)
        bounds = self._signature.dims
        if len(feed) != len(self._specs) or any(d in bounds and not bounds[d].holds(n) for d, n in sizes.items()):
            return check_feed(self._signature, feed)
        return sizes.get("batch")


def own_settings(given: Mapping[str, str], known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The settings of a graph, where the target knows each name and value: a runtime has others that write files or
    load libraries.

    Raises:
        BundleError: names the first that is unknown.
    """
    for name, value in given.items():
        if value not in known.get(name, ()):
            raise BundleError(
                f"the Bundle wants its runtime opened with {name[:60]!r} = {value[:60]!r}, which torchport never sets",
                "do not use this Bundle: ask for it from somebody you trust",
            )
    return dict(given)
