"""PyTorch's table of ONNX functions, made once in a process (needs torch)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

_MADE: dict[tuple[tuple[str, Any], ...], Any] = {}
"""The table, by what it was asked for with: the version of ONNX's operators."""


@contextlib.contextmanager
def registry_kept() -> Iterator[None]:
    """Inside, PyTorch's ONNX exporter takes the table that an earlier export made.

    It makes the table anew at every export, 0.4 s of the 0.6 s that a small graph takes, and nothing here adds to it.
    """
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    table: Any = ONNXRegistry
    before = vars(table)["from_torchlib"]
    make = table.from_torchlib

    def from_torchlib(**how: Any) -> Any:
        key = tuple(sorted(how.items()))
        if key not in _MADE:
            _MADE[key] = make(**how)
        return _MADE[key]

    table.from_torchlib = staticmethod(from_torchlib)
    try:
        yield
    finally:
        table.from_torchlib = before
