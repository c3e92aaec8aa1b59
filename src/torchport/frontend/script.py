"""TorchScript of a captured graph: scripted where that works, else traced, and checked on another size than the
example.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import UnsupportedByTarget
from ..system.noise import quiet
from ..types import Bound
from .program import flatten_outputs

if TYPE_CHECKING:
    from .program import Arrays, GraphProgram

_TOLERANCE = 1e-4
_COUNTER = re.compile(rb"[./]___torch_mangle_\d+")
_CLASS = re.compile(rb"c__torch__[^\n]*?[./]___torch_mangle_\d+")


def to_script(graph: GraphProgram, target: str, note: Callable[[str], None]) -> torch.jit.ScriptModule:
    """The graph as frozen TorchScript that takes the inputs by position and answers the signature's outputs.

    A traced graph with more than one output answers a dict keyed by the signature's names. Each road is run on the
    example and on another size of every dynamic dimension before it is believed.

    Args:
        graph: what was captured.
        target: who asks, for the error message.
        note: told when the graph had to be traced, and why.

    Raises:
        UnsupportedByTarget: the graph can neither be scripted nor traced.
    """
    said = []
    for road, build in (("script", _script), ("trace", _trace), ("trace of the exported program", _trace_exported)):
        try:
            with quiet_jit():
                module = build(graph)
                if module.inlined_graph.findNode("prim::PythonOp") is not None:  # type: ignore[attr-defined]
                    raise ValueError("a function that only Python can call stays in it")
                _check(graph, module)
        except Exception as exc:  # the compiler raises anything; what it said is reported
            said.append(f"{road}: {_gist(exc)}")
            continue
        if said:
            note(f"{'traced' if build is _trace else 'traced from the exported program'} ({'; '.join(said)})")
        return module
    hint = "fix the named line" if graph.module is not None else "this target needs the module or fixed shapes"
    raise UnsupportedByTarget(f"{target} cannot express graph '{graph.name}' ({'; '.join(said)})", hint)


def to_archive(module: torch.jit.ScriptModule) -> bytes:
    """The bytes of a `.pt` file: the same for the same module, in any folder and process.

    `torch.jit.save` adds the absolute paths of the sources (its debug records), and counts classes of one name over the
    life of the process. The debug records are left out, and the counts too where the names stay distinct without.
    """
    buffer = io.BytesIO()
    with quiet_jit():
        torch.jit.save(module, buffer)
    buffer.seek(0)
    reader = torch._C.PyTorchFileReader(buffer)
    names = [
        name
        for name in reader.get_all_records()
        if not name.endswith(".debug_pkl") and not name.startswith(".data/") and name != "version"
    ]
    records = {name: bytes(reader.get_record(name)) for name in names}
    plain = {_COUNTER.sub(b"", name.encode()).decode(): _uncounted(name, data) for name, data in records.items()}
    if len(plain) == len(records) and None not in plain.values():
        records = {name: data for name, data in plain.items() if data is not None}
    archive = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(archive)
    # without it the oldest is written, and whoever reads the file gives operators the meaning that they had then
    writer.set_min_version(_version(reader))
    for name, data in records.items():
        writer.write_record(name, data, len(data))
    writer.write_end_of_file()
    return archive.getvalue()


def _version(reader: Any) -> int:
    """Of the format that a file is written in; where it is recorded has changed as well."""
    return int(reader.get_record(".data/version" if reader.has_record(".data/version") else "version"))


@contextmanager
def quiet_jit() -> Iterator[None]:
    """TorchScript is deprecated upstream, its tracer warns of every branch, and its compiler reads what a module
    deprecates: known here, and checked for.
    """
    with quiet(
        (".*", FutureWarning),
        (r".*(torch\.jit\.|Lite Interpreter)", DeprecationWarning),
        (".*", torch.jit.TracerWarning),  # type: ignore[attr-defined]
    ):
        yield


def _script(graph: GraphProgram) -> torch.jit.ScriptModule:
    if graph.module is None:
        raise TypeError("the source is an exported program")
    return _freeze(torch.jit.script(graph.module))


def _trace(graph: GraphProgram) -> torch.jit.ScriptModule:
    # without its guards an exported program asserts sizes between its operators, which cannot be traced
    return _traced(graph, graph.module if graph.module is not None else graph.need_exported("torchscript").module())


def _trace_exported(graph: GraphProgram) -> torch.jit.ScriptModule:
    """What torch.export has written out, such as functions with a backward of their own, needs no Python."""
    if graph.module is None or graph.exported is None:
        raise TypeError("there is one form of it only")
    return _traced(graph, graph.exported.module())


def _traced(graph: GraphProgram, source: torch.nn.Module) -> torch.jit.ScriptModule:
    # strict=False lets the answer be a dict; the check that torch offers would only repeat the example
    traced = torch.jit.trace(_Named(source), graph.args(), strict=False, check_trace=False)  # type: ignore[no-untyped-call]
    return _freeze(traced)


def _freeze(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Fold the weights into the code; a module that was loaded frozen has no `training` flag left and stays."""
    return torch.jit.freeze(module.eval()) if hasattr(module, "training") else module


class _Named(torch.nn.Module):
    """Names the outputs before they are traced, so that structures that TorchScript has no type for get through."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        answer = self.module(*args)
        return answer if isinstance(answer, torch.Tensor) else flatten_outputs(answer)


def _check(graph: GraphProgram, module: torch.jit.ScriptModule) -> None:
    """Hold the module against its source, on the example and on other sizes.

    Raises:
        ValueError: an output differs, in name, shape, dtype or value.
    """
    for feed in (graph.examples, _resized(graph)):
        args = [torch.tensor(feed[spec.name]) for spec in graph.signature.inputs]
        with torch.inference_mode():
            expected = flatten_outputs(graph.callable()(*(arg.clone() for arg in args)))
            answered = flatten_outputs(module(*args))
        sizes = ", ".join(str(list(arg.shape)) for arg in args)
        if list(answered) != list(expected):
            raise ValueError(f"outputs are {list(answered)}, not {list(expected)}")
        for name, wanted in expected.items():
            got = answered[name]
            if got.dtype != wanted.dtype or got.shape != wanted.shape:
                raise ValueError(
                    f"'{name}' is {got.dtype}{list(got.shape)} at input {sizes}, not {wanted.dtype}{list(wanted.shape)}"
                )
            scale = float(wanted.abs().max()) if wanted.is_floating_point() and wanted.numel() else 0.0
            if not torch.allclose(got, wanted, rtol=0.0, atol=_TOLERANCE * scale, equal_nan=True):
                raise ValueError(f"'{name}' differs at input {sizes}")


def _resized(graph: GraphProgram) -> Arrays:
    """The example feed with every dynamic dimension at another size that its bound allows, by repeating what is
    there.
    """
    feed = {}
    for spec in graph.signature.inputs:
        array = graph.examples[spec.name]
        for axis, dim in enumerate(spec.shape):
            if isinstance(dim, str):
                size = _another_size(array.shape[axis], graph.signature.dims.get(dim))
                array = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
        feed[spec.name] = array
    return feed


def _another_size(size: int, bound: Bound | None) -> int:
    """Twice or half the size, which keeps what it divides by; the size itself where neither is allowed."""
    return next((other for other in (2 * size, size // 2) if (bound or Bound()).holds(other)), size)


def _uncounted(name: str, data: bytes) -> bytes | None:
    """A record without the counts in class names; None where a pickle holds one beside its length, which must not
    change.
    """
    if name.endswith(".pkl") and len(_COUNTER.findall(data)) != len(_CLASS.findall(data)):
        return None
    return _COUNTER.sub(b"", data) if name.endswith((".pkl", ".py")) else data


def _gist(exc: Exception) -> str:
    """The line of a compiler's message that says what is wrong: the last before it starts to quote code."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    first = lines[0] if lines else type(exc).__name__
    if first.startswith("The following operation failed"):  # the reason follows the quoted trace
        first = lines[-1]
    return first.rstrip(".:")[:200]
