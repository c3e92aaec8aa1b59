"""What a model's answers depend on besides the item asked about: found out by a few eager runs, before anything is
exported.

Four things make an honest artefact answer differently from the model: a part that stayed in train mode, chance, the
calls before, and the other items of the batch. The first three are refused, with the line or the name; the last makes
the first dimension one that is never filled with items of several callers.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import CaptureError
from .binding import Call
from .blame import Place, here
from .modes import direct
from .program import Arrays, flatten_outputs
from .state import Kept, kept

TOLERANCE = 1e-4
"""Greatest difference, relative to the largest number of an output, between answers that count as the same."""

Answer = dict[str, torch.Tensor]


@dataclass
class Watched:
    """What one eager run did, with the user's lines.

    Attributes:
        chance: operators that draw random numbers.
        written: storage address -> the line that wrote to it in place.
        sized: an operator's answer has a size that the data decides.
        operators: the names of all operators.
        decided: where a tensor's value became a Python number: an `if`, an `int()`, an `.item()`.
    """

    chance: list[tuple[str, Place | None]] = field(default_factory=list)
    written: dict[int, Place | None] = field(default_factory=dict)
    sized: bool = False
    operators: set[str] = field(default_factory=set)
    decided: list[Place] = field(default_factory=list)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    supports_higher_order_operators = True

    def __init__(self, found: Watched) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.higher_order.cond:
            decides, first, second, operands = args
            with self:
                return (first if decides else second)(*operands)
        if isinstance(func, HigherOrderOperator):  # a loop, or the like: only its answer is seen
            return func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        self.found.operators.add(name)
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.found.chance.append((name.rstrip("_"), here()))
        if torch.Tag.dynamic_output_shape in func.tags:
            self.found.sized = True
        if func is torch.ops.aten._local_scalar_dense.default and (place := here()):
            self.found.decided.append(place)
        if func._schema.is_mutable:
            for argument, value in zip(func._schema.arguments, args, strict=False):
                if argument.alias_info is not None and argument.alias_info.is_write and isinstance(value, torch.Tensor):
                    self.found.written.setdefault(value.untyped_storage().data_ptr(), here())
        return func(*args, **(kwargs or {}))


def watch(call: Call, feed: Mapping[str, np.ndarray] | None = None) -> tuple[Any, Watched]:
    """One eager run, and what it did."""
    found = Watched()
    with _Watch(found):
        return call.run(feed), found


def examine(call: Call, batched: Sequence[str]) -> tuple[Watched, str | None]:
    """Refuse a model whose answers are not its inputs' alone; tell where items of one batch touch each other.

    Args:
        call: the module in eval mode, with examples of at least two items where it has a batch.
        batched: the inputs whose first dimension counts items.

    Returns:
        What an eager run did; and None where every item is answered by itself, else what its answer depends on, in
        words.

    Raises:
        CaptureError: a part is in train mode and it shows, forward is random, or it remembers earlier calls.
    """
    call = Call(call.module, _distinct(call.feed, batched))
    with kept(call.module) as before, direct():
        torch.manual_seed(0)
        first, found = watch(call)
        changed = before.changed()
        reference = _answer(first)
        _in_train_mode(call, before, reference)
        before.restore()
        torch.manual_seed(1)
        states = _states()
        if _differ(reference, _answer(call.run())):
            raise _by_chance(found, states)
        if changed:
            _by_state(call, before, reference, changed, found, batched)
        before.restore()
        return found, _by_batch(call, reference, found, batched)


def _answer(value: Any) -> Answer:
    return {name: tensor.detach().clone() for name, tensor in flatten_outputs(value).items()}


def _in_train_mode(call: Call, before: Kept, reference: Answer) -> None:
    """A part that `eval()` left in train mode is an error where the answer would be another without."""
    parts = {path: part for path, part in call.module.named_modules() if getattr(part, "training", False) is True}
    if not parts:
        return
    before.restore()
    torch.manual_seed(0)
    try:
        for part in parts.values():
            part.training = False
        differs = _differ(reference, _answer(call.run()))
    finally:
        for part in parts.values():
            part.training = True
    if differs:
        leaves = [
            f"{path} ({type(part).__name__})"
            for path, part in parts.items()
            if not any(other.startswith(f"{path}.") for other in parts)
        ]
        named = ", ".join(leaves[:3]) + (" and more" if len(leaves) > 3 else "")
        raise CaptureError(
            f"{named.removeprefix('module.')} stays in train mode after eval(), and the answer would be another in "
            "eval mode",
            "let eval() reach it (see the module's own train()), or set its training to False where the model is built",
        )


def _by_chance(found: Watched, states: str) -> CaptureError:
    lines = list(dict.fromkeys(f"{name}{f' at {place}' if place else ''}" for name, place in found.chance))
    if lines:
        return CaptureError(
            f"forward is random: two calls with one input answer differently ({'; '.join(lines[:3])})",
            "draw the numbers outside and give them as an input, or switch that off in eval mode (F.dropout(x, p, "
            "self.training))",
        )
    if states != _states():
        return CaptureError(
            "forward is random: it draws numbers from Python's or numpy's generator",
            "draw the numbers outside and give them as an input",
        )
    return CaptureError(
        "two calls with one input answer differently, though no random numbers are drawn",
        "look for memory that is read before it is written (torch.empty), the clock, or something kept outside the "
        "module",
    )


def _by_state(
    call: Call, before: Kept, reference: Answer, changed: list[str], found: Watched, batched: Sequence[str]
) -> None:
    """What forward leaves in the module is an error where a later answer depends on it."""
    before.restore()
    call.run()
    try:
        call.run(_alike(call.feed, batched, 0))
        differs = _differ(reference, _answer(call.run()))
    except Exception:  # the stranger's code does not even take another item
        differs = True
    if differs:
        own = dict(call.module.named_buffers())
        kind = "buffer" if changed[0] in own else "attribute"
        names = ", ".join(f"'{name.removeprefix('module.')}'" for name in changed[:3])
        places = [
            str(place)
            for tensor in _named(call, changed)
            if (place := found.written.get(tensor.untyped_storage().data_ptr()))
        ] or _assigned(call, before, changed)
        decided = f"; it also decides by a tensor's value, at {found.decided[-1]}" if found.decided else ""
        raise CaptureError(
            f"forward changes its {kind} {names}{', at ' + places[0] if places else ''}, so that answers depend on "
            f"the calls before{decided}",
            "make it an input and an output that the caller carries from call to call, or leave it alone in eval mode",
        )


def _named(call: Call, names: Sequence[str]) -> list[torch.Tensor]:
    buffers = dict(call.module.named_buffers())
    return [buffers[name] for name in names if name in buffers]


def _assigned(call: Call, before: Kept, names: Sequence[str]) -> list[str]:
    """The lines where forward gives attributes of these names another value, as in `self.level = self.level + x`."""
    paths = {id(part): path for path, part in call.module.named_modules()}
    places: dict[str, Place | None] = {}
    plain = torch.nn.Module.__setattr__

    def assign(module: torch.nn.Module, name: str, value: Any) -> None:
        places.setdefault(f"{paths.get(id(module), '')}.{name}".lstrip("."), here())
        plain(module, name, value)

    before.restore()
    torch.nn.Module.__setattr__ = assign  # type: ignore[assignment,method-assign]
    try:
        call.run()
    finally:
        torch.nn.Module.__setattr__ = plain  # type: ignore[method-assign]
    return [str(place) for name in names if (place := places.get(name))]


def _by_batch(call: Call, reference: Answer, found: Watched, batched: Sequence[str]) -> str | None:
    """Whether an item is answered differently beside other items."""
    size = next((call.feed[name].shape[0] for name in batched), 1)
    if size < 2:
        return None
    grown: dict[str, list[int]] | None = None
    for row in (0, size - 1):
        try:
            alike = _answer(call.run(_alike(call.feed, batched, row)))
        except Exception:  # a model need not take the same item twice
            return None
        for name, value in reference.items():
            other = alike[name]
            if found.sized or value.shape != other.shape or not different(value, other):
                continue  # sizes that the data decides say nothing about items
            grown = grown or _grown(call, reference, batched)
            if _touched(value, other, row, size, grown[name]):
                return f"output '{name}' of one item depends on the other items of its batch"
    return None


def _touched(value: torch.Tensor, other: torch.Tensor, row: int, size: int, axes: Sequence[int]) -> bool:
    """Whether one item's answer differs between a batch of different items and one where every item is that one.

    Args:
        axes: those that grow with the batch. Without any, all items made one answer; where such an axis has several
        places
            an item, the order is the model's own and nothing is told.
    """
    if not axes:
        return True
    axis = axes[0]
    if value.shape[axis] != size:
        return False
    return different(value.select(axis, row), other.select(axis, row)) or different(
        other.select(axis, 0), other.select(axis, size - 1)
    )


def _grown(call: Call, reference: Answer, batched: Sequence[str]) -> dict[str, list[int]]:
    """The axes of each output that grow with the batch: the first of most, another of a recurrent layer's state."""
    longer = {
        name: np.concatenate([array, array[-1:]]) if name in batched else array for name, array in call.feed.items()
    }
    try:
        answers = _answer(call.run(longer))
    except Exception:  # the model fixes its batch
        return {name: [0] if value.ndim else [] for name, value in reference.items()}
    return {
        name: [axis for axis, (a, b) in enumerate(zip(value.shape, answers[name].shape, strict=False)) if a != b]
        for name, value in reference.items()
    }


def _distinct(feed: Mapping[str, np.ndarray], batched: Sequence[str]) -> Arrays:
    """The examples, the last item altered where all are the same: its values moved on by one place."""
    alike = all(np.array_equal(feed[name], np.repeat(feed[name][:1], feed[name].shape[0], 0)) for name in batched)
    return {
        name: np.concatenate([array[:-1], np.roll(array[-1:], 1, -1)])
        if alike and name in batched and array.shape[0] > 1
        else array
        for name, array in feed.items()
    }


def _states() -> str:
    """The states of Python's and numpy's generators."""
    return (
        f"{hash(random.getstate())} {hash(np.random.get_state(legacy=False)['state']['key'].tobytes())}, "
        f"{np.random.get_state(legacy=False)['state']['pos']}"
    )


def _alike(feed: Mapping[str, np.ndarray], batched: Sequence[str], row: int) -> Arrays:
    """The examples with every item replaced by one of them."""
    return {
        name: np.repeat(array[row : row + 1], array.shape[0], 0) if name in batched else array
        for name, array in feed.items()
    }


def _differ(a: Answer, b: Answer) -> bool:
    return set(a) != set(b) or any(different(a[name], b[name]) for name in a)


def different(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors differ by more than `TOLERANCE`, or in shape or dtype; NaN counts as 0."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return True
    if not (a.is_floating_point() or a.is_complex()):
        return not torch.equal(a, b)
    if not a.numel():
        return False
    wide = torch.complex128 if a.is_complex() else torch.float64
    a, b = torch.nan_to_num(a.to(wide)), torch.nan_to_num(b.to(wide))
    return bool((a - b).abs().max() > TOLERANCE * max(float(a.abs().max()), 1e-30))
