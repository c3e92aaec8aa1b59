"""What a pickled checkpoint may have rebuilt: tensors, NumPy arrays, a few plain kinds; every argument is a stranger's
(build half).
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

MOST_REPEATED = 2**26
"""Elements that a tensor may have beyond those of its storage (an axis of stride 0 repeats them)."""

DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage":
    torch.bfloat16,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "ShortStorage": torch.int16, "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}  # fmt: skip
NUMPY = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "c8", "c16")
"""NumPy's dtypes that torch has as well."""


@dataclass(frozen=True)
class Storage:
    """A run of numbers of the file: raw bytes in memory, from which tensors are cut; `start` in elements."""

    dtype: torch.dtype
    raw: torch.UntypedStorage
    start: int = 0


@dataclass(eq=False)
class Array:
    """A NumPy array of the file, as the tensor it is; None until its bytes come, and where torch has no such
    numbers.
    """

    tensor: torch.Tensor | None = None

    def fill(self, state: Any) -> None:
        """Take `(version, shape, dtype, in Fortran's order, bytes)`."""
        _, shape, dtype, fortran, raw = state
        self.tensor = _from_bytes(raw, dtype, shape, "F" if fortran else "C")


def storage_dtype(path: str) -> torch.dtype | None:
    """The numbers in a storage class of torch, by its full name; None for any other name."""
    return DTYPES.get(path.rpartition(".")[2]) if path.startswith("torch.") else None


def call(path: str, args: tuple[Any, ...]) -> Any:
    """What a call of `path` gives, where it is one of MAKERS; None otherwise.

    Raises:
        pickle.UnpicklingError: the arguments are not what torch or NumPy writes.
    """
    maker = MAKERS.get(path)
    if maker is None:
        return None
    try:
        return maker(*args)
    except pickle.UnpicklingError:
        raise
    except Exception as exc:  # arguments of a stranger fail in any way
        raise pickle.UnpicklingError(f"{path} with other arguments than torch writes") from exc


def _tensor(
    storage: Storage, offset: int, size: Any, stride: Any, *_: Any, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """A tensor cut from a storage, where it lies within."""
    numbers = (offset, *size, *stride)
    if (
        type(storage) is not Storage
        or any(type(one) is not int or one < 0 for one in numbers)
        or len(size) != len(stride)
    ):
        raise pickle.UnpicklingError("a tensor of sizes that are none")
    dtype = dtype or storage.dtype
    room, first = storage.raw.nbytes() // dtype.itemsize, storage.start + offset
    count = math.prod(size)
    last = first + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) if count else first - 1
    if last >= room or count > room + MOST_REPEATED:
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    return torch.empty(0, dtype=dtype).set_(storage.raw, first if count else 0, tuple(size), tuple(stride))


def _tensor_v3(
    storage: Storage, offset: int, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, *_: Any
) -> torch.Tensor:
    kind = getattr(torch, dtype.path.removeprefix("torch."), None)
    if not isinstance(kind, torch.dtype):
        raise pickle.UnpicklingError("a tensor of a dtype that torch does not have")
    return _tensor(storage, offset, size, stride, dtype=kind)


def _parameter(tensor: torch.Tensor, *_: Any) -> torch.Tensor:
    if not isinstance(tensor, torch.Tensor):
        raise pickle.UnpicklingError("a parameter that is not a tensor")
    return tensor


def _dtype(kind: Any, *_: Any) -> Any:
    return np.dtype(kind) if kind in NUMPY else None


def _from_bytes(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> torch.Tensor | None:
    if not isinstance(dtype, np.dtype) or not isinstance(raw, bytes | bytearray):
        return None
    return torch.from_numpy(
        np.frombuffer(bytearray(raw), dtype).reshape(shape, order="F" if order == "F" else "C").copy()
    )


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> Array:
    return Array(_from_bytes(raw, dtype, shape, order))


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "ascii", "utf-8"):
        raise pickle.UnpicklingError("bytes in an encoding that pickles do not use")
    return text.encode(encoding)


def _set(items: Any = ()) -> set[Any]:
    return {one for one in items if isinstance(one, str | int | float | bytes)}


def _size(items: Any = ()) -> tuple[Any, ...]:
    return tuple(items)


def _bytes(raw: Any = b"", *_: Any) -> bytes:
    return raw if isinstance(raw, bytes) else bytes(raw) if isinstance(raw, bytearray) else raw.encode("latin1")


def _complex(real: float, imaginary: float) -> complex:
    return complex(float(real), float(imaginary))


MAKERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "builtins.bytearray": _bytes,
    "builtins.bytes": _bytes,
    "builtins.complex": _complex,
    "_codecs.encode": _encoded,
    "numpy.dtype": _dtype,
    "numpy._core.multiarray._reconstruct": lambda *_: Array(),
    "numpy._core.numeric._frombuffer": _frombuffer,
}
"""Names of functions that are done here; those of the file are never called."""
