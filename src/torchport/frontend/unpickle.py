"""Pickles read without running them: tensors and plain data come back, everything else as a note of its name (build
half).

Nothing that a file names is imported, looked up or called. `pickletools` splits the file into operations; those that
build lists, dicts, texts and numbers are done here, tensors are made of bytes that the file holds, and whatever else a
file would have called stands as an `Object` that remembers its name and its arguments.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import torch

from . import rebuild
from .rebuild import Array

NESTED, TYPED = "torch.storage._load_from_bytes", "torch._tensor._rebuild_from_type_v2"
BUILT_IN = tuple(
    f"builtins.{kind}" for kind in ("object", "bool", "int", "float", "str", "list", "tuple", "slice", "range")
)
CONTAINERS = ("collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.dict")
PLAIN = frozenset(
    (
        *CONTAINERS,
        *BUILT_IN,
        *rebuild.MAKERS,
        NESTED,
        TYPED,
        "torch.device",
        "torch.nn.parameter.Parameter",
        "torch.serialization._get_layout",
        "numpy.ndarray",
        "numpy.dtype",
    )
)
"""Names that every checkpoint may hold: nobody needs to hear of them."""

ALIASES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy.core": "numpy._core",
    "torch.tensor": "torch._tensor",
}


@dataclass(frozen=True)
class Named:
    """A class or function that the file names: a text, never looked up."""

    path: str


@dataclass(eq=False)
class Object:
    """What the file would have made by calling `name`: what it was called with, and what was put into it."""

    name: str
    args: tuple[Any, ...] = ()
    items: dict[Any, Any] = field(default_factory=dict)
    state: Any = None


class Table(dict[Any, Any]):
    """A dict of the file, with the versions that state dicts carry: `_metadata`, module path -> versions."""

    metadata: Any = None


class Unpickler:
    """Reads one pickle from a file, from where that stands to the pickle's end.

    Args:
        storage: what a reference to numbers outside the pickle, `("storage", class, key, device, count, ...)`, stands
        for. nested: reads the bytes of a file of torch.save that the pickle holds.

    Attributes:
        names: what the file would have imported, but for what every checkpoint holds, in the file's order.
    """

    def __init__(
        self, file: BinaryIO, storage: Callable[[tuple[Any, ...]], Any], nested: Callable[[bytes], Any]
    ) -> None:
        self.names: dict[str, None] = {}
        self._file, self._storage, self._nested = file, storage, nested
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object of the pickle.

        Raises:
            pickle.UnpicklingError: it does what no checkpoint needs.
            Exception: it is damaged; any kind.
        """
        for operation, value, _ in pickletools.genops(self._file):
            step = _STEPS.get(operation.name)
            if step is None:
                raise pickle.UnpicklingError(f"the operation {operation.name} is not for checkpoints")
            step(self, value)
        if len(self._stack) != 1:
            raise pickle.UnpicklingError("the file ends in the middle of an object")
        return self._stack[0]

    def call(self, function: Any, args: Any) -> Any:
        """What stands for a call: a tensor or a container where the name is one of ours, else an Object."""
        if not isinstance(function, Named) or type(args) is not tuple:
            raise pickle.UnpicklingError("the file calls what is not a function of its own naming")
        path = function.path
        if path in CONTAINERS:
            table = Table()
            given = args[-1] if args and path != "collections.defaultdict" else ()
            for key, value in given.items() if isinstance(given, dict) else given:
                table[_key(key)] = value
            return table
        if path == TYPED:  # a tensor with attributes: they are left out
            return self.call(args[0], args[2])
        if path == NESTED:
            return self._nested(args[0])
        made = rebuild.call(path, args)
        if made is not None:
            return made
        if (
            path.rpartition(".")[2] in ("_reconstructor", "__newobj__", "__newobj_ex__")
            and args
            and isinstance(args[0], Named)
        ):
            return Object(args[0].path)
        return Object(path, args)

    def _since_mark(self) -> list[Any]:
        at = self._marks.pop()
        items, self._stack[at:] = self._stack[at:], []
        return items

    def _global(self, module: str, name: str) -> None:
        if type(module) is not str or type(name) is not str:
            raise pickle.UnpicklingError("the file names a class by what is not text")
        for old, new in ALIASES.items():
            module = new + module[len(old) :] if module == old or module.startswith(f"{old}.") else module
        path = f"{module}.{name}"
        if (
            path not in PLAIN
            and not isinstance(getattr(torch, name, None) if module == "torch" else None, torch.dtype)
            and rebuild.storage_dtype(path) is None
        ):
            self.names[path] = None
        self._stack.append(Named(path))

    def _set_items(self, pairs: list[Any]) -> None:
        there = self._stack[-1]
        table = there.items if isinstance(there, Object) else there
        if not isinstance(table, dict):
            raise pickle.UnpicklingError("the file puts entries into what is not a dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            table[_key(key)] = value

    def _extend(self, items: list[Any]) -> None:
        there = self._stack[-1]
        if isinstance(there, Object):
            there.items.update(enumerate(items, len(there.items)))
        elif isinstance(there, list):
            there.extend(items)
        elif isinstance(there, set):
            there.update(map(_key, items))
        else:
            raise pickle.UnpicklingError("the file lengthens what is not a list")

    def _build(self) -> None:
        state, there = self._stack.pop(), self._stack[-1]
        if isinstance(there, Object):
            there.state = state
        elif isinstance(there, Table):
            there.metadata = state.get("_metadata") if isinstance(state, dict) else None
        elif isinstance(there, np.dtype):
            if state[1] == ">":
                raise pickle.UnpicklingError("an array of NumPy with its bytes in the other order")
        elif isinstance(there, Array):
            there.fill(state)
        else:
            raise pickle.UnpicklingError("the file sets attributes of what is not an object of its own")

    def _persistent(self, value: Any) -> None:
        if type(value) is not tuple or not value or value[0] not in ("storage", b"storage"):
            raise pickle.UnpicklingError("the file refers to what is not a tensor's storage")
        self._stack.append(self._storage(tuple(one.path if isinstance(one, Named) else one for one in value)))

    def _reduce(self) -> None:
        args = self._stack.pop()
        self._stack[-1] = self.call(self._stack[-1], args)

    def _new(self, args: Any, kind: Any) -> None:
        self._stack.append(self.call(kind, args))

    def _pop_many(self, count: int) -> tuple[Any, ...]:
        items = tuple(self._stack[-count:])
        if len(items) < count:
            raise pickle.UnpicklingError("the file takes more than it holds")
        del self._stack[-count:]
        return items


def _key(value: Any) -> Any:
    """What may be a key; deeper ones stand as an Object, since hashing them recurses without an end."""
    scalar = (str, int, float, bytes, bool, type(None), Named, Object)
    return (
        value
        if isinstance(value, scalar) or (type(value) is tuple and all(isinstance(one, scalar) for one in value))
        else Object("key")
    )


def _pairs(items: list[Any]) -> Table:
    return Table((_key(key), value) for key, value in zip(items[::2], items[1::2], strict=True))


def _mark(self: Unpickler, _: Any) -> None:
    self._marks.append(len(self._stack))


def _object(self: Unpickler, _: Any) -> None:
    kind, *args = self._since_mark()
    self._new(tuple(args), kind)


def _instance(self: Unpickler, value: Any) -> None:
    args = tuple(self._since_mark())
    self._global(*value.split(" ", 1))
    self._new(args, self._stack.pop())


def _new_with_keywords(self: Unpickler, _: Any) -> None:
    kind, args, keywords = self._pop_many(3)
    self._new((*args, keywords), kind)


def _push(self: Unpickler, value: Any) -> None:
    self._stack.append(value)


def _nothing(self: Unpickler, _: Any) -> None:
    pass


def _put(self: Unpickler, value: Any) -> None:
    self._memo[value] = self._stack[-1]


_LITERALS = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE",
    "BINUNICODE", "BINUNICODE8",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip

_STEPS: dict[str, Callable[[Unpickler, Any], object]] = {
    **dict.fromkeys(_LITERALS, _push),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda self, value: self._stack.append(self._memo[value])),
    "MEMOIZE": lambda self, _: _put(self, len(self._memo)),
    "NONE": lambda self, _: self._stack.append(None),
    "NEWTRUE": lambda self, _: self._stack.append(True),
    "NEWFALSE": lambda self, _: self._stack.append(False),
    "EMPTY_DICT": lambda self, _: self._stack.append(Table()),
    "EMPTY_LIST": lambda self, _: self._stack.append([]),
    "EMPTY_TUPLE": lambda self, _: self._stack.append(()),
    "EMPTY_SET": lambda self, _: self._stack.append(set()),
    "MARK": _mark,
    "DICT": lambda self, _: self._stack.append(_pairs(self._since_mark())),
    "LIST": lambda self, _: self._stack.append(self._since_mark()),
    "TUPLE": lambda self, _: self._stack.append(tuple(self._since_mark())),
    "TUPLE1": lambda self, _: self._stack.append(self._pop_many(1)),
    "TUPLE2": lambda self, _: self._stack.append(self._pop_many(2)),
    "TUPLE3": lambda self, _: self._stack.append(self._pop_many(3)),
    "FROZENSET": lambda self, _: self._stack.append(frozenset(map(_key, self._since_mark()))),
    "APPEND": lambda self, _: self._extend([self._stack.pop()]),
    "APPENDS": lambda self, _: self._extend(self._since_mark()),
    "ADDITEMS": lambda self, _: self._extend(self._since_mark()),
    "SETITEM": lambda self, _: self._set_items(list(self._pop_many(2))),
    "SETITEMS": lambda self, _: self._set_items(self._since_mark()),
    "POP": lambda self, _: self._stack.pop(),
    "POP_MARK": lambda self, _: self._since_mark(),
    "DUP": lambda self, _: self._stack.append(self._stack[-1]),
    "GLOBAL": lambda self, value: self._global(*value.split(" ", 1)),
    "STACK_GLOBAL": lambda self, _: self._global(*self._pop_many(2)),
    "INST": _instance,
    "OBJ": _object,
    "NEWOBJ": lambda self, _: self._new(*reversed(self._pop_many(2))),
    "NEWOBJ_EX": _new_with_keywords,
    "REDUCE": lambda self, _: self._reduce(),
    "BUILD": lambda self, _: self._build(),
    "PERSID": lambda self, value: self._persistent(value),
    "BINPERSID": lambda self, _: self._persistent(self._stack.pop()),
}
"""What each operation of a pickle does here. Those that no checkpoint holds (registered extensions, buffers outside the
file) are not among them.
"""
