"""The first layer of an artefact whose value leaves the reference.

Two formats do not hold the same operators: one folds a normalisation into the convolution before it, another writes an
activation out in five. So values are matched, not operators: by name where the exporter kept it, else by what they
hold. A value of the artefact that equals none of the reference is an intermediate of such a rewriting as long as
something that follows from it matches again. The first one from which nothing does is where the two part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..frontend.layers import Layer
from ..types import Value

COARSE = 0.3
"""Greatest distance of two values that are called equal where a runtime computes with its own integers."""

_ROUNDING = 1e-6
"""A distance that the order of additions alone makes."""

_NEARLY = 3.0
"""Of counterparts that are about as near as each other, the first is taken."""

_FOLDED = 3
"""Operators of the reference that an exporter makes one of: a convolution, its normalisation, an activation."""


Cause = Literal["none", "layer", "preprocessing", "postprocessing", "graph", "unstable model"]


class DebugDocument(Value, frozen=True):
    """What `debug` prints: where a variant leaves the reference, if it does.

    `cause` says what kind of place that is; `graph`, `layer`, `op`, `module` and `place` name it, as far as they are
    known. `before` and `after` are the distances of what the layer reads and of what it makes: the norm of the
    difference over the norm of the reference. `noise` is how far the reference itself moves where its inputs change by
    a millionth. `depth` lists [layer number, distance] in order. `folder` holds what reproduces it.
    """

    variant: str
    item: str
    cause: Cause
    said: str
    graph: str | None = None
    layer: str | None = None
    op: str | None = None
    module: str | None = None
    place: str | None = None
    reference: str | None = None
    before: float | None = None
    after: float | None = None
    noise: float | None = None
    depth: tuple[tuple[int, float], ...] = ()
    folder: str | None = None


@dataclass(frozen=True)
class Diverging:
    """Where an artefact leaves the reference.

    Attributes:
        number: of the layer in the artefact, from 0.
        layer: the artefact's operator.
        reference: the layer of the reference that it stands for; None where nothing in it has its size.
        before: greatest distance of the values that it read.
        after: its own distance from the reference's.
        depth: (number of the layer in the artefact, its distance) of every layer that has a counterpart, in order.
    """

    number: int
    layer: Layer
    reference: Layer | None
    before: float
    after: float
    depth: tuple[tuple[int, float], ...]


def distance(value: np.ndarray, reference: np.ndarray) -> float:
    """The norm of the difference over that of the reference; values in another order of axes are compared sorted.

    Infinite where one has NaN or infinity and the other has not, or the sizes differ.
    """
    a, b = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    if a.size != b.size:
        return float("inf")
    if a.shape != b.shape and [s for s in a.shape if s != 1] != [s for s in b.shape if s != 1]:
        a, b = np.sort(a, axis=None), np.sort(b, axis=None)
    a, b = a.reshape(-1), b.reshape(-1)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(same, 0.0, a - b)
        far, scale = float(np.linalg.norm(gap)), float(np.linalg.norm(np.where(np.isfinite(b), b, 0.0)))
    if not np.isfinite(far):
        return float("inf")
    return far / scale if scale else (0.0 if far == 0 else float("inf"))


def diverging(
    reference: Sequence[Layer], artefact: Sequence[Layer], given: Mapping[str, np.ndarray], tolerance: float
) -> Diverging | None:
    """Find where an artefact leaves the reference for one feed.

    Args:
        reference: its layers, in order.
        artefact: the artefact's.
        given: what both were fed, by the artefact's names.
        tolerance: greatest distance of equal values.

    Returns:
        None where every layer has its counterpart, or something that follows from it has.
    """
    by_name = {layer.name: layer for layer in reference}
    compared = [_nearest(layer, by_name, reference, tolerance) for layer in artefact]
    right = _recovering(artefact, compared, tolerance)
    distances = dict.fromkeys(given, 0.0)
    depth = []
    for number, (layer, (other, far, named)) in enumerate(zip(artefact, compared, strict=True)):
        distances[layer.name] = far
        if other is not None and (named or far <= tolerance):
            depth.append((number, far))
    names = {layer.name: place for place, layer in enumerate(artefact)}
    for number, layer in enumerate(artefact):
        if right[number] or any(name in names and not right[names[name]] for name in layer.inputs):
            continue
        number = _where_it_rises(number, artefact, distances)
        layer, (other, far, named) = artefact[number], compared[number]
        if not named:
            other = _counterpart(layer, artefact, compared, reference, tolerance) or other
        after = far if other is None else distance(layer.value, other.value)
        return Diverging(number, layer, other, _before(layer, distances), after, tuple(depth))
    return None


def _before(layer: Layer, distances: Mapping[str, float]) -> float:
    known = [distances.get(name, 0.0) for name in layer.inputs]
    return max((one for one in known if np.isfinite(one)), default=0.0)


def _where_it_rises(number: int, artefact: Sequence[Layer], distances: Mapping[str, float]) -> int:
    """Of a layer and all that it follows from, the one at which the distance rises most: a small fault grows on its way
    to the layer at which it is too great.
    """
    places = {layer.name: place for place, layer in enumerate(artefact)}
    ahead, seen = [number], set[int]()
    while ahead:
        one = ahead.pop()
        if one not in seen:
            seen.add(one)
            ahead += [places[name] for name in artefact[one].inputs if name in places]

    def rise(one: int) -> float:
        layer = artefact[one]
        far = distances[layer.name]
        return far / max(_before(layer, distances), _ROUNDING) if np.isfinite(far) else float(one == number) * 1e30

    return max(sorted(seen), key=rise)


def _counts(layer: Layer) -> bool:
    """Whether a value is one to compare: numbers of the data, not sizes and indices."""
    return layer.value.dtype.kind == "f" and layer.value.size > 0


def _nearest(
    layer: Layer, by_name: Mapping[str, Layer], reference: Sequence[Layer], tolerance: float
) -> tuple[Layer | None, float, bool]:
    """The layer of the reference that a layer equals best, how far it is, and whether it has the same name."""
    if not _counts(layer):
        return None, 0.0, False
    named = by_name.get(layer.name)
    if named is not None and named.value.size == layer.value.size:
        far = distance(layer.value, named.value)
        if far <= tolerance:
            return named, far, True
    else:
        named, far = None, float("inf")
    best, least = named, far
    for other in reference:
        if _counts(other) and other.value.size == layer.value.size and _alike(layer.value, other.value, tolerance):
            one = distance(layer.value, other.value)
            if one <= tolerance and one <= least * (1 + 1e-6):  # of a value and its views, the last
                best, least = other, one
    return best, least, best is named and named is not None


def _alike(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """A cheap look before the comparison: the norms of equal values are equal."""
    x, y = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return abs(x - y) <= 2 * tolerance * max(x, y)


def _recovering(
    artefact: Sequence[Layer], compared: Sequence[tuple[Layer | None, float, bool]], tolerance: float
) -> list[bool]:
    """For each layer, whether it is right: equal to its counterpart, or on the way to one that is."""
    followers: dict[str, list[int]] = {}
    for number, layer in enumerate(artefact):
        for name in layer.inputs:
            followers.setdefault(name, []).append(number)
    right = [False] * len(artefact)
    for number in reversed(range(len(artefact))):
        layer, (other, far, named) = artefact[number], compared[number]
        if not _counts(layer) or (other is not None and far <= tolerance):
            right[number] = True
        elif named:  # the exporter says which value this is, and it is another
            right[number] = False
        else:
            right[number] = any(right[one] and _counts(artefact[one]) for one in followers.get(layer.name, ()))
    return right


def _counterpart(
    layer: Layer,
    artefact: Sequence[Layer],
    compared: Sequence[tuple[Layer | None, float, bool]],
    reference: Sequence[Layer],
    tolerance: float,
) -> Layer | None:
    """The layer of the reference that a nameless layer stands for: of the next of its size after those that its inputs
    equal, the first of the nearest.
    """
    places = {one.name: number for number, one in enumerate(reference)}
    equal = {
        one.name: other
        for one, (other, far, _) in zip(artefact, compared, strict=True)
        if other is not None and far <= tolerance
    }
    read = [equal[name].name for name in layer.inputs if name in equal]
    start = max((places[name] for name in read), default=-1)
    later = [one for one in reference[start + 1 :] if _counts(one) and one.value.size == layer.value.size]
    near = later[:_FOLDED] or [one for one in reference[: start + 1] if one.value.size == layer.value.size]
    far = [distance(layer.value, one.value) for one in near]
    return next((one for one, how in zip(near, far, strict=True) if how <= _NEARLY * min(far)), None)
