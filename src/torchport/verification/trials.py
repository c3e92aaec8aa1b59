"""Feeds that no item gives a graph, with what the reference answers to them: other sizes of its free dimensions, and
edge values.

A graph may be right on all the data and wrong elsewhere: a converter writes the example's size into the file, or masks
with the least finite number where the model masks with infinity. So each graph is run at other sizes of each free
dimension, at several changed together, and on inputs at the edge of what they may hold.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import TorchportError
from ..feed import Arrays
from ..targets.shared.runner import Runner
from ..types import Bound, Signature

SIZES, EDGES = "sizes", "edges"
"""The two kinds of trial, as stages of a verdict."""

BUDGET_S = 10.0
"""Seconds of the reference for the trials of one graph; two sizes a dimension, a joint change and the masks are tried
whatever they take.
"""

MOST_NUMBERS = 2**22
"""An input is not made greater than this, nor than four times the example."""

NUDGE = 3e-7
"""Relative change of an input to which no answer that can be compared may be sensitive: a few times the rounding of
float32.
"""

SHAKEN = 1e-4
"""Relative change of an answer to the nudge from which on it hangs on the last bits of the input."""

LARGE = 100.0


@dataclass(frozen=True)
class Trial:
    """One feed of a graph and the reference's answer.

    Attributes:
        stage: `sizes` or `edges`.
        what: the feed in words, as in `where height is 13 (captured at 12)`.
        example: the real feed that it was made from.
        scales: output name -> greatest value of the answer to the example.
        precise: only artefacts that compute as precisely as the reference have to answer alike (values far from the
        data).
    """

    graph: str
    stage: str
    what: str
    feed: Arrays
    outputs: Arrays
    example: Arrays
    scales: Mapping[str, float]
    precise: bool = False


@dataclass(frozen=True)
class _Wanted:
    stage: str
    what: str
    feed: Arrays
    must: bool
    precise: bool = False


def trials(graph: str, example: Arrays, runner: Runner, *, edges: bool = True) -> list[Trial]:
    """What the reference answers at other sizes and on edge values; feeds that it does not take are left out.

    Args:
        example: a real feed of the graph.
        runner: the reference.
        edges: whether edge values are tried: where a host step makes the feed, no mask leaves out a whole row.
    """
    made: list[Trial] = []
    try:
        scales = {name: scale_of(array) for name, array in runner.run(example).items()}
    except TorchportError:
        return made
    start = time.monotonic()
    values = _edges(runner.signature, example) if edges else ()
    for wanted in (
        _Wanted(SIZES, "on the example", example, must=True),
        *_other_sizes(runner.signature, example),
        *values,
    ):
        if time.monotonic() - start > BUDGET_S and not wanted.must:
            continue
        try:
            outputs = {name: np.array(array) for name, array in runner.run(wanted.feed).items()}
        except TorchportError:
            continue  # the model itself does not take it
        if wanted.precise and not all(np.isfinite(array).all() for array in outputs.values()):
            continue  # beyond what the model answers
        made.append(Trial(graph, wanted.stage, wanted.what, wanted.feed, outputs, example, scales, wanted.precise))
    return made


def shaky(runner: Runner, output: str, feed: Mapping[str, np.ndarray], example: Mapping[str, np.ndarray]) -> bool:
    """Whether an output moves far when the floating-point inputs move by a few units in the last place, so that two
    right runtimes may differ on it: the order of equal scores, a class on the border, a sum that cancels.

    Args:
        runner: the reference.
        example: a real feed, which tells masks from numbers.
    """
    nudged = _nudged(feed, example)
    if all(nudged[name] is array for name, array in feed.items()):
        return False
    try:
        before = np.array(runner.run(feed)[output])
        return _differ(before, runner.run(nudged)[output])
    except TorchportError:
        return True


def _nudged(feed: Mapping[str, np.ndarray], example: Mapping[str, np.ndarray]) -> Arrays:
    rng = np.random.default_rng(1)
    out: Arrays = {}
    for name, array in feed.items():
        if array.dtype.kind != "f" or is_mask(name, example[name]):
            out[name] = array
            continue
        step = NUDGE * (np.finfo(array.dtype).eps / np.finfo(np.float32).eps if array.dtype == np.float16 else 1.0)
        noise = rng.uniform(-1, 1, array.shape)
        constant = array.size > 1 and bool((array == array.reshape(-1)[0]).all())  # nothing else tells its values apart
        moved = array * (1 + step * noise) + (
            step * scale_of(example[name]) * rng.uniform(-1, 1, array.shape) if constant else 0.0
        )
        out[name] = np.where(np.isfinite(array), moved, array).astype(array.dtype)
    return out


def _differ(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape:
        return True
    if a.dtype.kind != "f":
        return bool((a != b).any())
    both = np.isfinite(a) & np.isfinite(b)
    if not (np.isnan(a) == np.isnan(b)).all() or not (np.isinf(a) == np.isinf(b)).all():
        return True
    return bool(
        np.abs(np.subtract(a, b, where=both, out=np.zeros(a.shape)))[both].max(initial=0.0)
        > SHAKEN * max(scale_of(a), 1e-30)
    )


def scale_of(array: np.ndarray) -> float:
    """The greatest finite absolute value; 0 where there is none."""
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    return float(np.abs(finite.astype(np.float64)).max(initial=0.0))


# Sizes


def other_sizes(bound: Bound, size: int) -> list[int]:
    """Sizes to try beside that of the example, the most telling first: the next, the least, more than twice, the one
    before, the greatest.
    """
    step = bound.multiple
    wanted = [size + step, bound.min, 2 * size + step, size - step, bound.max or size]
    return [
        one
        for one in dict.fromkeys(bound.nearest(one) for one in wanted if one > 0)
        if one != size and bound.holds(one)
    ]


def _other_sizes(signature: Signature, example: Arrays) -> list[_Wanted]:
    """Each free dimension at other sizes, then several at once."""
    dims = {spec.name: spec.free for spec in signature.inputs}
    held = {dim: example[name].shape[axis] for name, axes in dims.items() for axis, dim in axes.items()}
    choices = {dim: other_sizes(signature.dims.get(dim, Bound()), size) for dim, size in held.items()}
    first = [{dim: size} for dim, sizes in choices.items() for size in sizes[:2]]
    rest = [{dim: size} for dim, sizes in choices.items() for size in sizes[2:]]
    joint = [
        {dim: sizes[(i + shift) % len(sizes)] for i, (dim, sizes) in enumerate(choices.items()) if sizes}
        for shift in (0, 2, 1)
    ]
    joint = [one for one in joint if len(one) > 1]
    most = {name: max(MOST_NUMBERS, 4 * array.size) for name, array in example.items()}
    ranked = [(change, True) for change in (*first, *joint[:1])] + [(change, False) for change in (*rest, *joint[1:])]
    found = []
    for change, must in ranked:
        feed = resized(example, dims, change)
        if all(array.size <= most[name] for name, array in feed.items()):
            words = " and ".join(f"{dim} is {size}" for dim, size in change.items())
            found.append(
                _Wanted(
                    SIZES, f"where {words} (captured at {' and '.join(str(held[dim]) for dim in change)})", feed, must
                )
            )
    return found


def resized(feed: Mapping[str, np.ndarray], dims: Mapping[str, Mapping[int, str]], sizes: Mapping[str, int]) -> Arrays:
    """A feed with some dimensions at other sizes: cut, or made longer by slices of its own in another order, floats
    among them altered.
    """
    out: Arrays = {}
    for name, array in feed.items():
        rng, before = np.random.default_rng(0), array
        for axis, dim in dims[name].items():
            size, have = sizes.get(dim, array.shape[axis]), array.shape[axis]
            if size != have:
                more = rng.integers(0, have, max(0, size - have))
                array = np.take(array, np.concatenate([np.arange(min(size, have)), more]), axis)
                if (
                    array.dtype.kind == "f" and more.size and not is_mask(name, before)
                ):  # equal slices would hide a wrong order
                    new = (np.arange(size) >= have).reshape([-1 if i == axis else 1 for i in range(array.ndim)])
                    array = np.where(new, array * rng.uniform(0.5, 1.5, array.shape), array).astype(array.dtype)
        out[name] = array
    return out


# Edges


def is_mask(name: str, example: np.ndarray) -> bool:
    """Whether an input says which parts of others count: a boolean, or numbers of at most two values one of which
    masks.
    """
    if example.dtype.kind == "b":
        return True
    values = np.unique(example[: 2**10].reshape(-1)[: 2**16]) if example.ndim else np.unique(example)
    return (
        _adds(name, values)
        or "mask" in name.lower()
        or (example.size > 1 and values.size <= 2 and set(values.tolist()) <= {0, 1})
    )


def _adds(name: str, values: np.ndarray) -> bool:
    """Whether a mask is one that is added to scores: minus infinity, or a great negative number, leaves out."""
    return values.dtype.kind == "f" and ("mask" in name.lower() or bool((values <= -1e4).any()))


def _edges(signature: Signature, example: Arrays) -> Iterator[_Wanted]:
    masks = [spec.name for spec in signature.inputs if is_mask(spec.name, example[spec.name])]
    for name in masks:
        for what, array in _masked(name, example[name]):
            yield _Wanted(EDGES, f"on {what} of '{name}'", {**example, name: array}, must=True)
    numbers = {name: array for name, array in example.items() if name not in masks and array.size}
    floats = {name: array for name, array in numbers.items() if array.dtype.kind == "f"}
    pixels = {name: array for name, array in numbers.items() if array.dtype == np.uint8}
    ids = {
        name: array
        for name, array in numbers.items()
        if array.dtype.kind in "iu" and array.dtype != np.uint8 and array.ndim
    }
    if floats:
        yield _Wanted(
            EDGES,
            "on zeros",
            {**example, **{name: np.zeros_like(array) for name, array in floats.items()}},
            must=False,
            precise=True,
        )
        large = {name: array * array.dtype.type(LARGE) for name, array in floats.items()}
        yield _Wanted(EDGES, f"on inputs {LARGE:g} times as large", {**example, **large}, must=False, precise=True)
    for value in (0, 255) if pixels else ():
        yield _Wanted(
            EDGES,
            f"on pixels that are all {value}",
            {**example, **{name: np.full_like(array, value) for name, array in pixels.items()}},
            must=False,
            precise=True,
        )
    if ids:
        yield _Wanted(
            EDGES,
            "on one number repeated",
            {**example, **{name: np.full_like(array, array.reshape(-1)[0]) for name, array in ids.items()}},
            must=False,
            precise=True,
        )


def _masked(name: str, mask: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Masks with a row, or everything, set to either value."""
    values: dict[str, float] = {"False": 0, "True": 1} if mask.dtype.kind == "b" else {"0": 0, "1": 1}
    if _adds(name, mask):
        values = {"-inf": -np.inf, f"{np.finfo(mask.dtype).min:.3g}": float(np.finfo(mask.dtype).min), "0": 0}
    for said, value in values.items():
        if mask.ndim:
            row = mask.copy()
            row[0] = value
            yield f"a row of only {said}", row
        if mask.ndim > 2:
            row = mask.copy()
            row[..., 0, :] = value
            yield f"a last row of only {said}", row
        yield f"only {said}", np.full_like(mask, value)
