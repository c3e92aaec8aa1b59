"""Which axes of the user's tensors are free: those that `--input` names, else those on which items differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInput, UsageError
from ..tasks import Item, Task
from ..tasks.facts import Facts
from ..types import Bound, TensorSpec
from . import dynamic
from .dynamic import BATCH, Bounds, Dims
from .inputs import EXAMPLE, InputSpecs

if TYPE_CHECKING:
    from .program import Arrays

ROWS = 2
"""Rows of an example: at one, torch.export takes the batch for a constant."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Example:
    """What a model is captured on.

    Attributes:
        items: the user's items, as the model takes them.
        usable: those of them that the feed was made of.
        dims: input name -> {axis: name of the dynamic dimension}; None where nobody says and no item differs.
        optional: `batch` among `dims` is a guess, which a model may refuse.
    """

    items: list[Item]
    usable: list[Item]
    feed: Arrays
    dims: Dims | None
    bounds: Bounds
    optional: bool = False


@dataclass(frozen=True)
class _Reader:
    """Reads items as feeds of one row; inputs named in `unbatched` without their first axis, which only counts the
    items.
    """

    task: Task
    facts: Facts
    names: Sequence[str] | None
    unbatched: frozenset[str] = frozenset()

    def feed(self, item: Item) -> Arrays:
        row = self.task.feed([item], self.facts, self.names)
        return {name: array[0] if name in self.unbatched else array for name, array in row.items()}

    def item(self, item: Item) -> Item:
        """The item as the model takes it."""
        from safetensors.numpy import save

        if not self.unbatched:
            return item
        return Item(
            item.name,
            lambda: bytes(save({name: np.array(array, order="C") for name, array in self.feed(item).items()})),
            item.label,
        )


def of_items(
    task: Task, items: Sequence[Item], facts: Facts, names: Sequence[str] | None, data: Path, specs: InputSpecs
) -> Example:
    """Look at the items of a data set of tensors.

    Args:
        names: forward's arguments, or None.
        data: where the items lie; the rows of one file have one shape, those of a folder are all looked at.
        specs: what `--input` says; without tensors where it was not given.

    Raises:
        BadInput: no item can be read, or one does not fit what `--input` says.
        UsageError: `--input` leaves a tensor of the data out.
    """
    reader = _Reader(task, facts, names)
    seen, first = _shapes(reader, items, only=None if data.is_dir() else 1)
    said = _said(specs, first)
    bare = frozenset(name for name, spec in said.items() if len(spec.shape) == first[name].ndim - 1)
    reader = _Reader(task, facts, names, bare)
    shapes = {i: {name: shape[1:] if name in bare else shape for name, shape in one.items()} for i, one in seen.items()}
    if said:
        for i, one in shapes.items():
            _fits(said, one, specs.bounds, items[i].name)
        dims: Dims | None = {name: said[name].free for name in first}
    else:
        dims = _varying(list(shapes.values()))
    usable = _alike(shapes, dims) if data.is_dir() else _readable(reader, items, next(iter(seen)))
    feed = _example([reader.feed(items[i]) for i in usable], dims, specs.bounds)
    return Example(
        [reader.item(item) for item in items],
        [reader.item(items[i]) for i in usable],
        feed,
        dims,
        specs.bounds,
        optional=not said and dims is not None,
    )


def _shapes(reader: _Reader, items: Sequence[Item], only: int | None) -> tuple[dict[int, Shapes], Arrays]:
    """The shapes of the items that can be read, by their number, or of so many of them; and the first one's arrays."""
    found: dict[int, Shapes] = {}
    first: Arrays | None = None
    error: BadInput | None = None
    for i, item in enumerate(items):
        try:
            row = reader.feed(item)
        except BadInput as exc:
            error = error or exc
            continue
        first = first or row
        if {name: (array.dtype, array.ndim) for name, array in row.items()} != {
            name: (array.dtype, array.ndim) for name, array in first.items()
        }:
            raise BadInput(
                f"{item.name} holds {_spelled(row)}, {items[next(iter(found))].name} holds {_spelled(first)}",
                "give all items the same tensors, of the same type and number of axes",
            )
        found[i] = {name: array.shape for name, array in row.items()}
        if len(found) == only:
            break
    if first is None:
        raise error or BadInput("the data holds no items", "check --data")
    return found, first


def _said(specs: InputSpecs, first: Arrays) -> dict[str, TensorSpec]:
    """What `--input` says of each tensor of the data; empty where it was not given."""
    if not specs.tensors:
        return {}
    said = (
        {"": specs.tensors[0]}
        if list(first) == [""] and len(specs.tensors) == 1
        else {spec.name: spec for spec in specs.tensors}
    )
    unknown, missing = sorted(set(said) - set(first)), sorted(set(first) - set(said))
    if unknown:
        raise BadInput(
            f"--input names '{unknown[0]}', the data holds {_spelled(first)}", "name the tensors as the data does"
        )
    if missing:
        raise UsageError(
            f"--input says nothing of '{missing[0]}', which the data holds", f"give each tensor of the data: {EXAMPLE}"
        )
    for name, spec in said.items():
        array = first[name]
        if spec.dtype != array.dtype.name or len(spec.shape) not in (array.ndim, array.ndim - 1):
            what = f"{spec.dtype}[{','.join(map(str, spec.shape))}]"
            raise BadInput(
                f"--input says {spec.name}:{what}, an item of the data holds {_spelled(first)}",
                "the first axis of a file counts its items, and each is a batch of one",
            )
    return said


def _fits(said: Mapping[str, TensorSpec], shapes: Shapes, bounds: Bounds, item: str) -> None:
    """See that an item has the sizes that `--input` says."""
    sizes: dict[str, int] = {}
    for name, spec in said.items():
        for axis, (dim, size) in enumerate(zip(spec.shape, shapes[name], strict=True)):
            wrong = f"{item}: axis {axis} of '{spec.name}' is {size}, --input says "
            if isinstance(dim, int):
                if dim != size:
                    raise BadInput(f"{wrong}{dim}", "correct --input; a name in place of the number makes it free")
            elif sizes.setdefault(dim, size) != size:
                raise BadInput(f"{wrong}{dim}, which is {sizes[dim]} elsewhere", "give the two dimensions two names")
            elif dim != BATCH and not bounds.get(dim, Bound()).holds(size):
                raise BadInput(f"{wrong}{dim}={bounds[dim]}", "widen the bound, or leave the item out")


def _varying(shapes: Sequence[Shapes]) -> Dims | None:
    """The axes on which items differ; axes of two inputs that are always alike are one dimension. None where no item
    differs.

    Items that are whole files have no axis that counts them: the first is free like any other, or else fixed.
    """
    whole = any(shape[:1] != (1,) for one in shapes for shape in one.values() if shape)
    columns = {
        (name, axis): tuple(one[name][axis] for one in shapes)
        for name, shape in shapes[0].items()
        for axis in range(len(shape))
    }
    dims: dict[str, dict[int, str]] = {name: {} for name in shapes[0]}
    named: dict[tuple[int, ...], str] = {}
    for (name, axis), sizes in columns.items():
        if (axis or whole) and len(set(sizes)) > 1:
            called = named.setdefault(sizes, f"{name or 'input'}_{axis}")
            dims[name][axis] = called if called not in dims[name].values() else f"{name or 'input'}_{axis}"
    if whole:
        return dims
    if not any(dims.values()):
        return None
    return {name: {**({0: BATCH} if shapes[0][name] else {}), **axes} for name, axes in dims.items()}


def _alike(shapes: Mapping[int, Shapes], dims: Dims | None) -> list[int]:
    """Numbers of two items of one shape, whose free axes are longer than one where there are such; else of one item."""

    def long(one: Shapes) -> bool:
        return all(
            one[name][axis] > 1 for name, axes in (dims or {}).items() for axis, dim in axes.items() if dim != BATCH
        )

    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for i, one in shapes.items():
        groups.setdefault(tuple(one.values()), []).append(i)
    ranked = sorted(groups.values(), key=lambda group: (not long(shapes[group[0]]), len(group) < ROWS, group[0]))
    return ranked[0][:ROWS]


def _readable(reader: _Reader, items: Sequence[Item], first: int) -> list[int]:
    """The first items of a file that can be read."""
    usable = [first]
    for i in range(first + 1, len(items)):
        try:
            reader.feed(items[i])
        except BadInput:
            continue
        return [*usable, i]
    return usable


def _example(rows: Sequence[Arrays], dims: Dims | None, bounds: Bounds) -> Arrays:
    """Rows as one feed: of ROWS rows where the first axis is free, of one row where it is not; no free axis is of size
    1.
    """
    batched = {
        name for name, array in rows[0].items() if array.ndim and (dims is None or dims.get(name, {}).get(0) == BATCH)
    }
    rows = (list(rows) * ROWS)[:ROWS]
    feed = {
        name: np.concatenate([row[name] for row in rows]) if name in batched else array
        for name, array in rows[0].items()
    }
    for name, size in dynamic.sizes(feed, dims or {}).items():
        fitting = bounds.get(name, Bound()).nearest(max(size, ROWS) if name == BATCH or size == 1 else size)
        feed = feed if fitting == size else dynamic.resized(feed, dims or {}, name, fitting)
    return feed


def _spelled(feed: Arrays) -> str:
    return ", ".join(
        f"{name}:{array.dtype.name}[{','.join(map(str, array.shape))}]".removeprefix(":")
        for name, array in feed.items()
    )
