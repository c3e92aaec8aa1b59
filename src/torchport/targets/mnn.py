"""MNN: phones and embedded systems, on CPUs of every kind.

Converted from the ONNX artefact. The converter is called as a function: MNN's console script installs a package with
pip and reports its use to a log service.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import itertools
import math
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ExportError, UnsupportedByTarget
from ..system.disk import temporary
from ..system.noise import redirected
from ..types import Signature, TensorIO, Used
from .base import Arrays, ExportOptions, Target, plain_io
from .shared.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import onnx

    from ..frontend.program import GraphProgram
    from ..types import GraphFile

_CPU = 0
_RANDOM_NAME = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NARROWER = {"int64": "int32", "bool": "int32", "float64": "float32"}
"""Dtypes that MNN does not have -> those it takes instead."""

_LSTM_OUTPUTS = 3
_ONE_FILE_BYTES = 2**31 - 2**24

_FLAGS: dict[str, list[str]] = {
    "fp32": [],
    "fp16": ["--fp16"],
}
"""What the converter is asked for, by precision; products are computed in fp32 in all of them."""


class MnnRunner(Runner):
    """A module of MNN on the CPU; tensors go by name."""

    def _open(self, path: Path) -> None:
        import MNN

        self._need_cpu()
        inputs, self._outputs = (
            [self.graph.io[spec.name].name for spec in specs]
            for specs in (self.signature.inputs, self.signature.outputs)
        )
        threads = self.threads or 1
        with redirected(None):  # the library tells of its CPU and its precision
            # MNN's default of a lower precision is half floats, where the CPU has them
            self._manager: Any = MNN.nn.create_runtime_manager(
                ({"backend": _CPU, "numThread": threads, "precision": "high"},)
            )
            self._net: Any = MNN.nn.load_module_from_file(
                str(path), inputs, self._outputs, runtime_manager=self._manager, shape_mutable=True
            )
        self._dtypes = {"float32": MNN.expr.float, "int32": MNN.expr.int}
        self._const, self._layout = MNN.expr.const, MNN.expr.NCHW
        self.used = Used(library="MNN", version=MNN.version(), provider="cpu", precision="fp32", threads=threads)

    def _run(self, feed: Arrays) -> Arrays:
        given = [
            self._const(array, list(array.shape), self._layout, self._dtypes[array.dtype.name])
            for array in feed.values()
        ]
        answer = self._net.forward(given)
        return {name: np.array(one.read()) for name, one in zip(self._outputs, answer, strict=True)}

    def _close(self) -> None:
        self._net = self._manager = None


class Mnn(Target):
    """One `.mnn` a graph; `fp16` stores weights in half the space and computes in fp32."""

    name = "mnn"
    suffix = "mnn"
    module = "MNN"
    packages = ("MNN",)
    build_modules = ("torch", "onnx")
    precisions = tuple(_FLAGS)
    tolerances = {("fp32", "cpu"): 1e-4, ("fp16", "cpu"): 5e-3}
    profiles = ("python", "server", "android", "ios")
    xfail = {"check_export[picture]": "graphs that take a picture's bytes are left to the host"}
    runner = MnnRunner

    def load_library(self) -> None:
        """MNN, which tells standard output of its CPU as it is imported."""
        with redirected(None):
            importlib.import_module(self.module)

    def needs(self, precision: str) -> tuple[str, str] | None:
        """The ONNX artefact, as floats: MNN has quantisers of its own."""
        return "onnx", "fp32"

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        assert parent is not None, "needs() asks for one"
        io = _io(graph.signature, parent)
        with temporary() as folder:
            source = _rewritten(entry.parent / "parent" / parent.entry, folder, note)
            _converted(source, entry.resolve(), graph.name, _FLAGS[options.precision])
        entry.write_bytes(_same_name(entry.read_bytes()))
        return io


def _rewritten(source: Path, folder: Path, note: Callable[[str], None]) -> Path:
    """The model with what MNN gets wrong in other words: an LSTM of one output crashes its converter, it computes GELU
    to four digits only, and norms over all axes whichever are named.
    """
    import onnx

    model = onnx.load(source)
    fresh = (f"torchport.{number}" for number in itertools.count())
    nodes, changed = [], set[str]()
    for node in model.graph.node:
        if node.op_type == "LSTM" and len(node.output) < _LSTM_OUTPUTS:
            changed.add("LSTM with all of its outputs")
            node.output.extend(next(fresh) for _ in range(_LSTM_OUTPUTS - len(node.output)))
        if node.op_type == "Gelu":
            changed.add("GELU by its formula")
            tanh = any(one.name == "approximate" and one.s == b"tanh" for one in node.attribute)
            nodes += _gelu(model.graph, node.input[0], node.output[0], fresh, tanh=tanh)
        elif node.op_type in _BY_SUMS and len(node.input) > 1:
            changed.add("norms by sums")
            nodes += _by_sums(node, fresh)
        else:
            nodes.append(node)
    if not changed:
        return source.resolve()
    for one in sorted(changed):
        note(one)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, folder / "model.onnx", save_as_external_data=model.ByteSize() > _ONE_FILE_BYTES)
    return folder / "model.onnx"


def _gelu(graph: onnx.GraphProto, x: str, y: str, fresh: Iterator[str], *, tanh: bool) -> list[onnx.NodeProto]:
    """The operators of `x * (f(x) / 2 + 1/2)`, in an order that MNN does not take for GELU."""
    from onnx import helper

    made: list[onnx.NodeProto] = []

    def of(op: str, *inputs: str | float, output: str | None = None) -> str:
        names = []
        for one in inputs:
            if isinstance(one, float):
                graph.initializer.append(helper.make_tensor(name := next(fresh), onnx_float, [], [one]))
                names.append(name)
            else:
                names.append(one)
        made.append(helper.make_node(op, names, [output or next(fresh)]))
        return str(made[-1].output[0])

    onnx_float = 1  # TensorProto.FLOAT
    if tanh:
        inner = of("Mul", of("Add", of("Mul", of("Mul", x, x), 0.044715), 1.0), of("Mul", x, math.sqrt(2 / math.pi)))
    else:
        inner = of("Mul", x, math.sqrt(0.5))
    of("Mul", x, of("Add", of("Mul", of("Tanh" if tanh else "Erf", inner), 0.5), 0.5), output=y)
    return made


_BY_SUMS = {
    "ReduceL1": ("Abs", ""),
    "ReduceL2": ("Square", "Sqrt"),
    "ReduceSumSquare": ("Square", ""),
    "ReduceLogSum": ("", "Log"),
    "ReduceLogSumExp": ("Exp", "Log"),
}
"""Reductions whose axes MNN ignores -> what is done to each value before a sum, and to the sum."""


def _by_sums(node: onnx.NodeProto, fresh: Iterator[str]) -> list[onnx.NodeProto]:
    """A reduction over some axes by a sum over them; exponents are of what lies below the greatest value."""
    from onnx import helper

    made: list[onnx.NodeProto] = []

    def of(op: str, *inputs: str, **attributes: Any) -> str:
        made.append(helper.make_node(op, inputs, [next(fresh)], **attributes))
        return str(made[-1].output[0])

    (x, axes), (before, after) = node.input, _BY_SUMS[node.op_type]
    keep = next((one.i for one in node.attribute if one.name == "keepdims"), 1)
    most = of("ReduceMax", x, axes, keepdims=1) if before == "Exp" else ""
    if most:
        x = of("Sub", x, most)
    if before:
        x = of("Mul", x, x) if before == "Square" else of(before, x)
    x = of("ReduceSum", x, axes, keepdims=1 if most else keep)
    if after:
        x = of(after, x)
    if most:
        x = of("Add", x, most)
        x = x if keep else of("Squeeze", x, axes)
    made[-1].output[0] = node.output[0]
    return made


def _converted(source: Path, entry: Path, graph: str, flags: list[str]) -> None:
    """Write the file, by MNN's converter as a function.

    Raises:
        UnsupportedByTarget: names the operators that MNN has no form of.
        ExportError: the converter failed otherwise.
    """
    with temporary() as folder:
        log = folder / "said"
        asked = [
            "mnnconvert",
            "-f",
            "ONNX",
            "--modelFile",
            str(source),
            "--MNNModel",
            str(entry),
            "--bizCode",
            "torchport",
        ]
        with contextlib.chdir(folder), redirected(log):  # it leaves a scratch file where it is run
            import _tools  # MNN's own name for its converter

            done = _tools.mnnconvert([*asked, *flags])
        said = log.read_text(errors="replace")
    if lacking := sorted(set(re.findall(r"ONNX::(\w+)", said.partition("Not Support")[2]))):
        raise UnsupportedByTarget(
            f"mnn has no {', '.join(lacking)}, which graph '{graph}' needs",
            "write the model without it, or use another target",
        )
    if not done or not entry.is_file():
        words = [line for line in said.splitlines() if re.search("error|fail|not", line, re.IGNORECASE)]
        raise ExportError(
            f"mnn could not convert graph '{graph}'" + (f": {words[-1][:200]}" if words else ""),
            "leave this target out",
        )


def _same_name(content: bytes) -> bytes:
    """The file with a name made of its content in place of the random one, of the same length, that MNN gives it."""
    found = _RANDOM_NAME.search(content)
    if found is None:
        return content
    rest = content[: found.start()] + content[found.end() :]
    return content.replace(found[0], str(uuid.UUID(bytes=hashlib.sha256(rest).digest()[:16])).encode(), 1)


def _io(signature: Signature, parent: GraphFile) -> dict[str, TensorIO]:
    made = plain_io(signature, names={name: io.name for name, io in parent.io.items()}, narrower=_NARROWER)
    # bytes are pictures before they are preprocessed, whose sizes MNN fixes as it reshapes them
    strange = sorted({io.dtype for io in made.values()} - {"float32", "int32"})
    if strange:
        raise UnsupportedByTarget(f"mnn takes no tensors of {', '.join(strange)}", "leave this target out")
    return made
