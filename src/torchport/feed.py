"""What a Runner is fed: named numpy arrays, checked against the signature before any runtime sees them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .errors import BadInput, BundleError
from .types import Signature, TensorSpec

Feed = Mapping[str, np.ndarray]
Arrays = dict[str, np.ndarray]


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
