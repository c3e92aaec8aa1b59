"""PyTorch's table of ONNX functions, made once in a process (needs torch)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

_MADE: dict[tuple[Any, ...], Any] = {}
"""The last table, by the version of ONNX's operators that was asked for, and by the operators that PyTorch had: it
holds none that a library adds later.
"""


@contextlib.contextmanager
def registry_kept() -> Iterator[None]:
    """Inside, PyTorch's ONNX exporter takes the table that an earlier export made.

    It makes the table anew at every export, 0.4 s of the 0.6 s that a small graph takes, and nothing here adds to it.
    """
    import torch
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    table: Any = ONNXRegistry
    before = vars(table)["from_torchlib"]
    make = table.from_torchlib

    def from_torchlib(**how: Any) -> Any:
        key = *sorted(how.items()), frozenset(torch._C._dispatch_get_all_op_names())
        if key not in _MADE:
            _MADE.clear()
            _MADE[key] = make(**how)
        return _MADE[key]

    table.from_torchlib = staticmethod(from_torchlib)
    try:
        yield
    finally:
        table.from_torchlib = before
