"""MNN: phones and embedded systems, on CPUs of every kind.

Converted from the ONNX artefact. The converter is called as a function: MNN's console script installs a package with
pip and reports its use to a log service.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..errors import ExportError, RunError, UnsupportedByTarget
from ..system.noise import redirected
from ..types import Signature, TensorIO, Used
from .base import Arrays, ExportOptions, Target, plain_io
from .shared.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..frontend.program import GraphProgram
    from ..types import GraphFile

_CPU = 0
_RANDOM_NAME = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NARROWER = {"int64": "int32", "bool": "int32", "float64": "float32"}
"""Dtypes that MNN does not have -> those it takes instead."""

_FLAGS: dict[str, list[str]] = {
    "fp32": [],
    "fp16": ["--fp16"],
}
"""What the converter is asked for, by precision; products are computed in fp32 in all of them."""


class MnnRunner(Runner):
    """A module of MNN on the CPU; tensors go by name."""

    def _open(self, path: Path) -> None:
        import MNN

        if self.device != "cpu" or self.provider:
            raise RunError(f"{type(self).__name__} has no {self.provider or self.device}", "it runs on cpu")
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
        if self._net is None:
            raise RunError(f"{type(self).__name__} is closed")
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
        import _tools  # MNN's own name for its converter

        assert parent is not None, "needs() asks for one"
        source = entry.parent / "parent" / parent.entry
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
        done = _tools.mnnconvert([*asked, *_FLAGS[options.precision]])
        if not done or not entry.is_file():
            raise ExportError(f"mnn could not convert graph '{graph.name}'", "see the log, or leave this target out")
        entry.write_bytes(_same_name(entry.read_bytes()))
        return _io(graph.signature, parent)


def _same_name(content: bytes) -> bytes:
    """The file with a name made of its content in place of the random one, of the same length, that MNN gives it."""
    found = _RANDOM_NAME.search(content)
    if found is None:
        return content
    rest = content[: found.start()] + content[found.end() :]
    return content.replace(found[0], str(uuid.UUID(bytes=hashlib.sha256(rest).digest()[:16])).encode(), 1)


def _io(signature: Signature, parent: GraphFile) -> dict[str, TensorIO]:
    made = plain_io(signature, names={name: io.name for name, io in parent.io.items()})
    # bytes are pictures before they are preprocessed, whose sizes MNN fixes as it reshapes them
    strange = sorted({io.dtype for io in made.values()} - {"float32", "int32", *_NARROWER})
    if strange:
        raise UnsupportedByTarget(f"mnn takes no tensors of {', '.join(strange)}", "leave this target out")
    return {name: msgspec.structs.replace(io, dtype=_NARROWER.get(io.dtype, io.dtype)) for name, io in made.items()}
