"""`--input "x:float32[batch,10]"`: what a graph takes, in one line of text, and seeded examples of it (numpy only)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..types import TensorSpec

EXAMPLE = 'write it like "x:float32[batch,10]": a name is a dynamic dimension, "batch<=8" bounds it, a number is fixed'
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")

DYNAMIC_SIZE = 12
"""Size of a made-up dynamic dimension other than the batch; smaller where it is bounded."""

LARGEST_INTEGER = 8
"""Made-up integers stay below this, so that they can serve as indices into small tables."""

_SPEC = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*:\s*(?P<dtype>\w+)\s*\[(?P<dims>[^\]]*)\]\s*")
_DIM = re.compile(r"(?P<name>[A-Za-z_]\w*)\s*(<=\s*(?P<max>\d+))?")


@dataclass(frozen=True)
class InputSpecs:
    """The parsed inputs, in order.

    Attributes:
        dims: input name -> {axis: name of the dynamic dimension}.
        bounds: dynamic dimension -> (1, greatest size), for those that were given one.
    """

    tensors: tuple[TensorSpec, ...]
    dims: dict[str, dict[int, str]]
    bounds: dict[str, tuple[int, int | None]]


def parse(texts: Sequence[str]) -> InputSpecs:
    """Read `--input` options.

    Raises:
        UsageError: quotes the text that cannot be read, and shows the right form.
    """
    tensors: list[TensorSpec] = []
    bounds: dict[str, tuple[int, int | None]] = {}
    for text in texts:
        match = _SPEC.fullmatch(text)
        if match is None:
            raise UsageError(f"cannot read the input '{text}'", EXAMPLE)
        if match["dtype"] not in DTYPES:
            raise UsageError(f"'{match['dtype']}' in '{text}' is no dtype", f"one of {', '.join(DTYPES)}")
        if any(spec.name == match["name"] for spec in tensors):
            raise UsageError(f"the input '{match['name']}' is given twice", "give each of forward's arguments once")
        shape = tuple(_dim(part.strip(), text, bounds) for part in match["dims"].split(",")) if match["dims"].strip() else ()
        tensors.append(TensorSpec(name=match["name"], dtype=match["dtype"], shape=shape))
    dims = {spec.name: {axis: dim for axis, dim in enumerate(spec.shape) if isinstance(dim, str)} for spec in tensors}
    return InputSpecs(tuple(tensors), dims, bounds)


def _dim(part: str, text: str, bounds: dict[str, tuple[int, int | None]]) -> int | str:
    if part.isdecimal() and int(part) > 0:
        return int(part)
    match = _DIM.fullmatch(part)
    if match is None or match["max"] == "0":
        raise UsageError(f"cannot read the dimension '{part}' in '{text}'", EXAMPLE)
    if match["max"]:
        bound = (1, int(match["max"]))
        if bounds.setdefault(match["name"], bound) != bound:
            raise UsageError(f"'{match['name']}' is bounded by {bounds[match['name']][1]} and by {bound[1]}", "give a dimension one bound")
    return match["name"]


def made_up(specs: InputSpecs, *, seed: int = 0, batch: int = 2) -> dict[str, np.ndarray]:
    """Seeded examples: normal floats, integers in 0..7, fair coins for booleans.

    Args:
        batch: size of the dynamic dimension called `batch`.

    Returns:
        One array an input, of its dtype; the same for the same arguments on every machine.
    """
    rng = np.random.default_rng(seed)

    def size(dim: int | str) -> int:
        if isinstance(dim, int):
            return dim
        most = specs.bounds.get(dim, (1, None))[1]
        wanted = batch if dim == "batch" else DYNAMIC_SIZE
        return wanted if most is None else min(wanted, most)

    return {spec.name: _values(rng, np.dtype(spec.dtype), tuple(map(size, spec.shape))) for spec in specs.tensors}


def _values(rng: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if dtype.kind == "f":
        return np.asarray(rng.standard_normal(shape)).astype(dtype)
    return np.asarray(rng.integers(0, 2 if dtype.kind == "b" else LARGEST_INTEGER, shape)).astype(dtype)
