"""Arrays of many items in a temporary file, so that memory holds one item at a time."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ..system.disk import scratch, writing

MOST_BYTES = 2 * 1024**3
"""What one spool writes at most; of later items it keeps SAMPLE numbers of each array, evenly spread."""

SAMPLE = 4096


class _Slot(NamedTuple):
    """Where one array lies: every `stride`-th number of it, in the order of memory."""

    offset: int
    length: int
    dtype: str
    shape: tuple[int, ...]
    stride: int


class Spool:
    """Named arrays by the number of their item: written once, then read in any order and by any process.

    The file is removed with the object.

    Attributes:
        sampled_from: the first item of which a sample was kept, not all numbers; None where all were.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        folder = scratch()
        self.path = folder / "outputs.bin"
        self.path.touch()
        self.sampled_from: int | None = None
        self._most, self._size = most_bytes, 0
        self._slots: dict[int, dict[str, _Slot]] = {}
        weakref.finalize(self, shutil.rmtree, folder, True)

    def __contains__(self, item: int) -> bool:
        return item in self._slots

    def add(self, item: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep an item's arrays; raises OutputError where the disk is full."""
        slots = {}
        with writing(self.path), self.path.open("ab") as file:
            for name, array in arrays.items():
                stride = 1
                if self._size + array.nbytes > self._most:
                    stride = max(1, array.size // SAMPLE)
                    self.sampled_from = item if self.sampled_from is None else self.sampled_from
                flat = np.ascontiguousarray(array).reshape(-1)[::stride]
                file.write(np.ascontiguousarray(flat).data)
                slots[name] = _Slot(
                    offset=self._size, length=flat.size, dtype=array.dtype.str, shape=array.shape, stride=stride
                )
                self._size += flat.nbytes
        self._slots[item] = slots

    def beside(self, item: int, arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Name, kept array and other array for what is kept of an item; flat and sampled_from alike where a sample was
        kept.
        """
        for name, slot in self._slots.get(item, {}).items():
            with self.path.open("rb") as file:
                file.seek(slot.offset)
                kept = np.fromfile(file, np.dtype(slot.dtype), slot.length)
            other = np.asarray(arrays[name])
            if slot.stride == 1 or other.shape != slot.shape:
                yield name, kept.reshape(slot.shape) if slot.stride == 1 else np.empty(slot.shape, slot.dtype), other
            else:
                yield name, kept, other.reshape(-1)[:: slot.stride]
