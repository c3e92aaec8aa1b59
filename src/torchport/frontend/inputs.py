"""`--input "x:float32[batch,10]"`: what a graph takes, in one line of text, and seeded examples of it (numpy only).

A dimension is one of

    10                      a fixed size
    time                    any size from 1
    time<=200               from 1 to 200
    32..1024                from 32 to 1024; `32..` has no end
    32..1024/32             from 32 to 1024 in multiples of 32
    height=32..1024/32      the same, with a name; without one it is called after its input and place, as in x_2

A name that stands in several places is one dimension; its bound is given once. `batch.x` is the part `x` of the
argument `batch`, a dict or a dataclass, and `feats.0` the first tensor of the list `feats`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import feed
from ..errors import UsageError
from ..types import Bound, TensorSpec

EXAMPLE = (
    'write it like "x:float32[batch,3,height=32..1024/32,10]": a name is a dynamic dimension, "batch<=8" and '
    '"32..1024" bound it, "/32" asks for multiples, a number is fixed'
)
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")

DYNAMIC_SIZE = 12
"""Size of a made-up dynamic dimension other than the batch; smaller where it is bounded."""


_SPEC = re.compile(r"\s*(?P<name>[A-Za-z_]\w*(\.\w+)*)\s*:\s*(?P<dtype>\w+)\s*\[(?P<dims>[^\]]*)\]\s*")
_NAMED = re.compile(r"(?P<name>[A-Za-z_]\w*)\s*(<=\s*(?P<max>\d+))?")
_RANGE = re.compile(r"((?P<name>[A-Za-z_]\w*)\s*=\s*)?(?P<min>\d+)\s*\.\.\s*(?P<max>\d+)?\s*(/\s*(?P<multiple>\d+))?")


@dataclass(frozen=True)
class InputSpecs:
    """The parsed inputs, in order.

    Attributes:
        dims: input name -> {axis: name of the dynamic dimension}.
        bounds: dynamic dimension -> the sizes it may have, for those that were given a bound.
    """

    tensors: tuple[TensorSpec, ...]
    dims: dict[str, dict[int, str]]
    bounds: dict[str, Bound]


def parse(texts: Sequence[str]) -> InputSpecs:
    """Read `--input` options.

    Raises:
        UsageError: quotes the text that cannot be read, and shows the right form.
    """
    tensors: list[TensorSpec] = []
    bounds: dict[str, Bound] = {}
    for text in texts:
        match = _SPEC.fullmatch(text)
        if match is None:
            raise UsageError(f"cannot read the input '{text}'", EXAMPLE)
        if match["dtype"] not in DTYPES:
            raise UsageError(f"'{match['dtype']}' in '{text}' is not a dtype", f"one of {', '.join(DTYPES)}")
        if any(spec.name == match["name"] for spec in tensors):
            raise UsageError(f"the input '{match['name']}' is given twice", "give each of forward's arguments once")
        parts = match["dims"].split(",") if match["dims"].strip() else []
        shape = tuple(
            _dim(part.strip(), text, f"{match['name'].replace('.', '_')}_{axis}", bounds)
            for axis, part in enumerate(parts)
        )
        tensors.append(TensorSpec(name=match["name"], dtype=match["dtype"], shape=shape))
    dims = {spec.name: spec.free for spec in tensors}
    return InputSpecs(tuple(tensors), dims, bounds)


def _dim(part: str, text: str, unnamed: str, bounds: dict[str, Bound]) -> int | str:
    """One dimension: its size, or its name, whose bound joins `bounds`; `unnamed` is what a range without a name is
    called.
    """
    if part.isdecimal() and int(part) > 0:
        return int(part)
    match = _NAMED.fullmatch(part) or _RANGE.fullmatch(part)
    if match is None:
        raise UsageError(f"cannot read the dimension '{part}' in '{text}'", EXAMPLE)
    said = {key: int(value) for key, value in match.groupdict().items() if value and key != "name"}
    name, bound = match["name"] or unnamed, Bound(**said)
    if 0 in said.values() or (bound.max is not None and bound.max < bound.min):
        raise UsageError(f"the dimension '{part}' in '{text}' has no sizes", EXAMPLE)
    if bound.min % bound.multiple or (bound.max or 0) % bound.multiple:
        inner = Bound(
            min=-(-bound.min // bound.multiple) * bound.multiple,
            max=bound.max and bound.max // bound.multiple * bound.multiple,
            multiple=bound.multiple,
        )
        fitting = f"write {str(inner).replace('any', '')}" if inner.max is None or inner.max >= inner.min else EXAMPLE
        raise UsageError(f"'{part}' in '{text}' begins or ends between two multiples of {bound.multiple}", fitting)
    if said and bounds.setdefault(name, bound) != bound:
        raise UsageError(f"'{name}' is bounded by {bounds[name]} and by {bound}", "give a dimension one bound")
    return name


def made_up(specs: InputSpecs, *, seed: int = 0, batch: int = 2) -> dict[str, np.ndarray]:
    """Seeded examples, as `feed.made_up` makes them.

    Args:
        batch: size of the dynamic dimension called `batch`.
    """

    def size(dim: str) -> int:
        bound = specs.bounds.get(dim, Bound())
        return bound.nearest(
            batch if dim == "batch" else max(DYNAMIC_SIZE, 2 * bound.multiple, 2 * bound.min if bound.min > 1 else 1)
        )

    return feed.made_up(specs.tensors, size, seed=seed)
