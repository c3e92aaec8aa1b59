"""What a module holds beside its weights, before and after it was run: kept, compared, put back (needs torch)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

MOST_BYTES = 2**30
"""Buffers are copied up to this size in all; a model with more of them keeps what its forward writes."""

_CONTAINERS = (list, dict, set)


class Kept:
    """The buffers and attributes of a module and its parts, as they were when this was made.

    torch.export and forward itself may leave things behind in a module (a cache, a running level, a symbolic tensor):
    `restore` puts everything back, `changed` names what differs.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self._parts = {
            path: part for path, part in module.named_modules() if not isinstance(part, torch.jit.ScriptModule)
        }
        self._attributes = {path: dict(vars(part)) for path, part in self._parts.items()}
        self._contents = {
            id(value): (value, _copied(value))
            for held in self._attributes.values()
            for value in held.values()
            if type(value) in _CONTAINERS
        }
        self._tensors = dict(module.named_buffers())
        small = sum(tensor.nbytes for tensor in self._tensors.values()) <= MOST_BYTES
        self._values = {name: tensor.clone() for name, tensor in self._tensors.items()} if small else {}
        self._module = module

    def restore(self) -> None:
        """Put everything back; what was in place stays the same object."""
        for path, part in self._parts.items():
            held = vars(part)
            before = self._attributes[path]
            if len(held) != len(before) or any(held.get(key, self) is not value for key, value in before.items()):
                held.clear()
                held.update(before)
        for value, content in self._contents.values():
            _refill(value, content)
        with torch.no_grad():
            for name, value in self._values.items():
                if not _same(self._tensors[name], value):
                    self._tensors[name].copy_(value)

    def changed(self) -> list[str]:
        """Names of buffers, else of other attributes, that are not as they were, such as `norm.running_mean`."""
        now = dict(self._module.named_buffers())
        buffers = [name for name, value in self._values.items() if now.get(name) is None or not _same(now[name], value)]
        buffers += [name for name in now if name not in self._tensors]
        return buffers or [
            f"{path}.{key}".lstrip(".") for path, part in self._parts.items() for key in self._differing(path, part)
        ]

    def _differing(self, path: str, part: torch.nn.Module) -> list[str]:
        before, now = self._attributes[path], vars(part)
        keys = [key for key in now if not key.startswith(("_buffers", "_parameters", "_modules", "_non_persistent"))]
        return [key for key in keys if key not in before or now[key] is not before[key] or self._refilled(now[key])]

    def _refilled(self, value: Any) -> bool:
        kept = self._contents.get(id(value))
        return kept is not None and (
            len(kept[1]) != len(value) or any(a is not b for a, b in zip(kept[1], value, strict=True))
        )


@contextmanager
def kept(module: torch.nn.Module) -> Iterator[Kept]:
    """What runs inside leaves nothing behind in the module, nor in torch's random numbers."""
    before, state = Kept(module), torch.get_rng_state()
    try:
        yield before
    finally:
        before.restore()
        torch.set_rng_state(state)


def _copied(value: Any) -> Any:
    return type(value)(value)


def _refill(value: Any, content: Any) -> None:
    if isinstance(value, list):
        value[:] = content
    elif (
        len(value) != len(content)
        or any(a is not b for a, b in zip(value, content, strict=True))
        or isinstance(value, dict)
    ):
        value.clear()
        value.update(content)


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and bool(torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) if a.is_floating_point() else torch.equal(a, b))
    )
