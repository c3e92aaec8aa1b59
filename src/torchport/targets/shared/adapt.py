"""What a runtime needs to be told apart from the signature, applied to arrays: `TensorIO` as code, in one place.

`docs/bundle.md` says the same for clients in other languages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import BadInput, RunError
from ...feed import Feed, cast, is_batched, length
from ...types import FixedBatch, Signature, TensorIO, TensorSpec


def greatest_batch(specs: Sequence[TensorSpec], io: Mapping[str, TensorIO]) -> int | None:
    """How many items one call takes; None is any number."""
    bounds = [1 if io[spec.name].batch == "dropped" else io[spec.name].greatest(0) for spec in specs if spec.shape]
    batched = [spec for spec in specs if spec.shape]
    found = [most for spec, most in zip(batched, bounds, strict=True) if most is not None and is_batched(spec)]
    return min(found, default=None)


def spelled_alike(spec: TensorSpec, io: TensorIO) -> bool:
    """Whether the runtime takes, or gives, the tensor as the signature says, but for its name."""
    plain = io.layout is None and io.max_shape is None and not io.sizes and isinstance(io.batch, str)
    return plain and io.dtype == spec.dtype and io.batch != "dropped"


def sizes_of(signature: Signature, feed: Feed) -> dict[str, int]:
    """Dynamic dimension -> its size in a feed that fits the signature."""
    return {
        dim: size
        for spec in signature.inputs
        for dim, size in zip(spec.shape, np.shape(feed[spec.name]), strict=True)
        if isinstance(dim, str)
    }


def native_feed(signature: Signature, io: Mapping[str, TensorIO], feed: Feed) -> dict[str, np.ndarray]:
    """Every input as the runtime takes it, by the runtime's names; see `to_native`."""
    return {
        io[spec.name].name: to_native(spec, io[spec.name], np.asarray(feed[spec.name])) for spec in signature.inputs
    }


def to_native(spec: TensorSpec, io: TensorIO, array: np.ndarray) -> np.ndarray:
    """An input as the runtime takes it.

    Raises:
        BadInput: it is greater than the artefact takes, or holds integers beyond the runtime's dtype.
    """
    _fits(spec, io, array)
    for axis, fixed in io.sizes.items():
        array = _padded(array, axis, next(size for size in fixed if size >= array.shape[axis]), io.pad)
    if isinstance(io.batch, FixedBatch):
        size = next(fixed for fixed in io.batch.fixed if fixed >= array.shape[0])
        if size > array.shape[0]:
            array = np.concatenate([array, np.repeat(array[-1:], size - array.shape[0], axis=0)])
    if io.dtype != array.dtype.name:
        array = cast(spec.name, array, io.dtype)
    if io.layout:
        array = array.transpose(io.layout)
    if io.batch == "dropped":
        array = array[0]
    return np.asarray(array, order="C")  # ascontiguousarray would make a scalar one-dimensional


def from_native(spec: TensorSpec, io: TensorIO, array: np.ndarray, sizes: Mapping[str, int]) -> np.ndarray:
    """A runtime's output as the signature says.

    Args:
        sizes: dynamic dimension -> its size in the call's inputs.

    Raises:
        RunError: the length of an output that was padded cannot be told.
    """
    if io.batch == "dropped":
        array = array[None]
    if io.layout:
        array = array.transpose(np.argsort(io.layout))
    if isinstance(io.batch, FixedBatch) and "batch" in sizes:
        array = array[: sizes["batch"]]
    for axis in io.sizes:
        wanted = length(spec.shape[axis], sizes)
        if wanted is None:
            raise RunError(f"'{spec.name}' cannot be cut back to {spec.shape[axis]}", "use another variant")
        array = array[(slice(None),) * axis + (slice(wanted),)]
    return np.asarray(array, dtype=spec.dtype, order="C")


def _fits(spec: TensorSpec, io: TensorIO, array: np.ndarray) -> None:
    for axis, size in enumerate(array.shape):
        most = io.greatest(axis)
        if most is not None and size > most:
            listed = f"; axis {axis} takes {', '.join(map(str, io.sizes[axis]))}" if axis in io.sizes else ""
            bounds = [io.greatest(i) or "any" for i in range(array.ndim)]
            raise BadInput(
                f"'{spec.name}' is {list(array.shape)}, this artefact takes at most "
                f"[{', '.join(map(str, bounds))}]{listed}",
                "use another variant or a smaller input",
            )


def _padded(array: np.ndarray, axis: int, size: int, value: float) -> np.ndarray:
    """The array with `value` at the end of an axis, up to a size."""
    lacking = size - array.shape[axis]
    if not lacking:
        return array
    shape = (*array.shape[:axis], lacking, *array.shape[axis + 1 :])
    return np.concatenate([array, np.full(shape, value, array.dtype)], axis=axis)
