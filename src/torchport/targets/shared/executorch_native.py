"""ExecuTorch's own libraries without PyTorch: a few C functions around them, compiled at first use.

ExecuTorch's Python package carries its runtime and the headers, and its binding for Python links to PyTorch. The
functions of `executorch_shim.cpp` link to the runtime alone; compiled they lie in the user's cache.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MissingDependency, RunError
from ...system import cache
from ...system.disk import scratch
from ...system.machine import compiler

SOURCE = Path(__file__).with_name("executorch_shim.cpp")
LIBRARIES = (
    "executorch",
    "executorch_backend_xnnpack",
    "executorch_kernels_optimized",
    "executorch_kernels_quantized",
    "executorch_threadpool",
)
DTYPES = {
    "uint8": 0,
    "int8": 1,
    "int16": 2,
    "int32": 3,
    "int64": 4,
    "float16": 5,
    "float32": 6,
    "float64": 7,
    "bool": 11,
}
"""numpy dtype -> the number that the runtime calls it by."""

MOST_AXES = 16


class Program:
    """A program in memory with its method `forward`. One call at a time.

    Raises:
        MissingDependency: there is no compiler, or it fails.
        RunError: it is no program that the runtime reads.
    """

    def __init__(self, data: bytes, threads: int | None = None) -> None:
        self._library = library()
        self.threads = int(self._library.torchport_threads(threads or 0))
        self._data = np.empty(len(data) + 16, np.uint8)
        start = -self._data.ctypes.data % 16  # the runtime wants its data aligned
        self._data[start : start + len(data)] = np.frombuffer(data, np.uint8)
        error = ctypes.c_int()
        self._opened = self._library.torchport_open(
            ctypes.c_void_p(self._data.ctypes.data + start), ctypes.c_size_t(len(data)), ctypes.byref(error)
        )
        if not self._opened:
            raise RunError(f"error: {error.value:#x}")

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for inputs in the program's order, copied."""
        arrays = [np.ascontiguousarray(array) for array in inputs]
        sizes = [size for array in arrays for size in array.shape]
        count = len(arrays)
        failed = self._library.torchport_run(
            ctypes.c_void_p(self._opened),
            count,
            (ctypes.c_void_p * count)(*(array.ctypes.data for array in arrays)),
            (ctypes.c_int * count)(*(DTYPES[array.dtype.name] for array in arrays)),
            (ctypes.c_int * count)(*(array.ndim for array in arrays)),
            (ctypes.c_int * len(sizes))(*sizes),
        )
        if failed:
            raise RunError(f"error: {failed:#x}")
        return [self._output(i) for i in range(self._library.torchport_outputs(ctypes.c_void_p(self._opened)))]

    def _output(self, index: int) -> np.ndarray:
        rank, sizes = ctypes.c_int(), (ctypes.c_int * MOST_AXES)()
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        number = self._library.torchport_output(
            ctypes.c_void_p(self._opened),
            index,
            ctypes.byref(rank),
            sizes,
            ctypes.byref(data),
            ctypes.byref(size),
        )
        name = next((name for name, one in DTYPES.items() if one == number), None)
        if name is None:
            raise RunError(f"output {index} is no tensor that numpy has a type for")
        content = ctypes.string_at(data, size.value) if size.value else b""
        return np.frombuffer(content, name).reshape(sizes[: rank.value]).copy()

    def close(self) -> None:
        """Free the program."""
        if self._opened:
            self._library.torchport_close(ctypes.c_void_p(self._opened))
            self._opened = None


@functools.cache
def library() -> Any:
    """The compiled functions, from the user's cache where they were compiled before."""
    source = SOURCE.read_bytes()
    installed = Path(next(iter(importlib.util.find_spec("executorch").submodule_search_locations)))  # type: ignore
    release, tool = importlib.metadata.version("executorch"), shutil.which(compiler()) or ""
    kept = cache.entry("executorch", source.decode(), release, str(installed), tool)
    found = kept and cache.find(kept, ".so")
    if not found:
        fresh = (kept and cache.scratch(kept)) or scratch() / "executorch_shim.so"
        _compile(installed, fresh)
        found = fresh
        if kept and fresh.parent == kept.parent:
            cache.keep(fresh, kept, ".so")
            found = cache.find(kept, ".so") or fresh
    library = ctypes.CDLL(str(found))
    library.torchport_open.restype = ctypes.c_void_p
    return library


def _compile(installed: Path, made: Path) -> None:
    tool = shutil.which(compiler())
    if tool is None:
        raise MissingDependency(
            "without PyTorch, ExecuTorch is reached by a little C++, and no compiler is installed",
            "install g++ (or name one by CXX), or pip install torch, or use another variant",
        )
    include, libraries = installed / "include", installed / "lib"
    asked = [
        tool,
        *("-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-DC10_USING_CUSTOM_GENERATED_MACROS"),
        f"-I{include}",
        f"-I{include / 'executorch/runtime/core/portable_type/c10'}",
        str(SOURCE),
        "-o",
        str(made),
        f"-L{libraries}",
        *(("-Wl,--no-as-needed",) if sys.platform != "darwin" else ()),
        *(f"-l{name}" for name in LIBRARIES),
        f"-Wl,-rpath,{libraries}",
    ]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error" in line), "it said nothing")
        raise MissingDependency(
            f"{Path(tool).name} does not compile what reaches ExecuTorch without PyTorch: {said[:200]}",
            "pip install torch, or use another variant",
        )
