"""LiteRT: `.tflite` files for Android, iOS and embedded systems.

Every size in such a file is fixed. One file holds the graph once for each of a few sizes, which share their weights;
one item is answered a call, and an axis of free size is padded up to the next of the sizes. A graph whose answers the
padding changes is declined.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..errors import ExportError, UnsupportedByTarget, first_line
from ..feed import length
from ..system.disk import temporary, write_file
from ..system.noise import quiet, redirected
from ..types import FixedBatch, Signature, TensorIO, TensorSpec, Used
from .base import Arrays, ExportOptions, Target, plain_io
from .shared.adapt import from_native, sizes_of, to_native
from .shared.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..frontend.program import GraphProgram
    from ..types import GraphFile

_NARROWER = {"int64": "int32", "float64": "float32"}
"""Dtypes that the converter narrows -> what it makes of them."""

_BATCH = 1
_MOST = {1: 3, 2: 2}
"""Free dimensions -> sizes of each; more dimensions get one size each."""

_PADDED = 1e-5
"""Greatest change, relative to the largest number of an output, that padding may make: sums in another order."""


class LiteRtRunner(Runner):
    """An interpreter on the CPU, by XNNPACK; the graph made for the sizes of a call answers it."""

    def _open(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._need_cpu(by="xnnpack")
        threads = self.threads or 1
        with redirected(None):  # it tells of its delegate
            self._net: Any = Interpreter(model_path=str(path), num_threads=threads)
            self._net.allocate_tensors()
            self._graphs = {
                tuple(tuple(one["shape"]) for _, one in sorted(graph.get_input_details().items())): graph
                for graph in map(self._net.get_signature_runner, self._net.get_signature_list())
            }
        self.used = Used(library="LiteRT", version=_version(), provider="xnnpack", precision="fp32", threads=threads)

    def _run(self, feed: Arrays) -> Arrays:
        answer: Arrays = self._graphs[tuple(array.shape for _, array in sorted(feed.items()))](**feed)
        return answer

    def _close(self) -> None:
        self._net, self._graphs = None, {}


def _version() -> str:
    from importlib.metadata import version

    return version("ai-edge-litert")


class LiteRt(Target):
    """One `.tflite` a graph; `fp16` stores weights in half the space and computes in fp32."""

    name = "litert"
    suffix = "tflite"
    module = "ai_edge_litert.interpreter"
    packages = ("ai-edge-litert",)
    build_modules = ("torch", "litert_torch", "ai_edge_quantizer")
    precisions = ("fp32", "fp16", "int8_dynamic")
    tolerances = {("fp32", "cpu"): 1e-4, ("fp16", "cpu"): 5e-3}
    profiles = ("python", "server", "web", "android", "ios")
    xfail = {
        "check_export[sequence]": "a softmax over the length sees the padding",
        "check_export[scripted]": "only TorchScript captures a loop over a dynamic length",
    }
    runner = LiteRtRunner

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        graph.need_exported(self.name)
        chosen = _chosen(graph.signature, options)
        io = _io(graph.signature, chosen)
        if chosen and not _unchanged(graph, io):
            raise UnsupportedByTarget(
                f"litert takes fixed sizes, and padding {', '.join(chosen)} changes what graph '{graph.name}' answers",
                "capture it with fixed sizes, or use another target",
            )
        content = _converted(graph, chosen)
        if options.precision != "fp32":
            content = _rounded(content, options.precision, graph.name)
        write_file(entry, content)
        return io


def _chosen(signature: Signature, options: ExportOptions) -> dict[str, tuple[int, ...]]:
    """Free dimension other than the batch -> its sizes, ascending: the greatest, a quarter, a sixteenth."""
    bounds = {dim: bound for dim, bound in signature.dims.items() if dim != "batch"}
    chosen = {}
    for dim, bound in bounds.items():
        most = bound.max or max(bound.nearest(options.max_size), bound.min)
        wanted = [most // 4**i for i in range(_MOST.get(len(bounds), 1))]
        chosen[dim] = tuple(sorted({size for size in map(bound.nearest, wanted) if bound.holds(size)}))
    return chosen


def _io(signature: Signature, chosen: Mapping[str, tuple[int, ...]]) -> dict[str, TensorIO]:
    """How the tensors are spelled.

    Raises:
        UnsupportedByTarget: the size of an output cannot be told from those of the inputs.
    """
    names = {spec.name: f"args_{i}" for i, spec in enumerate(signature.inputs)}
    names |= {spec.name: f"output_{i}" for i, spec in enumerate(signature.outputs)}
    io = plain_io(signature, names=names, narrower=_NARROWER)
    for spec in (*signature.inputs, *signature.outputs):
        one = io[spec.name]
        io[spec.name] = msgspec.structs.replace(
            one,
            batch=FixedBatch(fixed=(_BATCH,)) if one.batch == "dynamic" else one.batch,
            sizes={axis: _sizes_of_axis(spec, axis, chosen) for axis in spec.free if spec.shape[axis] != "batch"},
        )
    return io


def _sizes_of_axis(spec: TensorSpec, axis: int, chosen: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    found = {length(spec.shape[axis], {"batch": _BATCH, **held}) for held in _combinations(chosen)}
    if None in found:
        raise UnsupportedByTarget(
            f"litert takes fixed sizes, and that of '{spec.name}', {spec.shape[axis]}, hangs on more than the inputs'",
            "use another target",
        )
    return tuple(sorted(size for size in found if size is not None))


def _combinations(chosen: Mapping[str, tuple[int, ...]]) -> Iterator[dict[str, int]]:
    for sizes in itertools.product(*chosen.values()):
        yield dict(zip(chosen, sizes, strict=True))


def _unchanged(graph: GraphProgram, io: Mapping[str, TensorIO]) -> bool:
    """Whether the padded example is answered like the example itself, at sizes of which none is one of the file's."""
    from ..frontend.dynamic import resized
    from .eager import ModuleRunner

    signature = graph.signature
    dims = {spec.name: spec.free for spec in signature.inputs}
    feed = {
        spec.name: graph.examples[spec.name][:_BATCH] if spec.shape[:1] == ("batch",) else graph.examples[spec.name]
        for spec in signature.inputs
    }
    for spec in signature.inputs:
        for axis, sizes in io[spec.name].sizes.items():
            dim = str(spec.shape[axis])
            bound = signature.dims[dim]
            size = min(feed[spec.name].shape[axis], sizes[-1] - bound.multiple)
            size -= bound.multiple * (size in sizes)
            if not bound.holds(size):
                return False
            feed = resized(feed, dims, dim, size)
    native = {spec.name: to_native(spec, io[spec.name], feed[spec.name]) for spec in signature.inputs}
    padded = {spec.name: native[spec.name].astype(spec.dtype) for spec in signature.inputs}
    with ModuleRunner(graph) as reference:
        right, answered = reference.run(feed), reference.run(padded)
    sizes_here = sizes_of(signature, feed)
    for spec in signature.outputs:
        got = from_native(spec, io[spec.name], answered[spec.name], sizes_here)
        most = float(np.abs(right[spec.name]).max(initial=0)) if got.dtype.kind == "f" else 0.0
        if not np.allclose(got, right[spec.name], rtol=0, atol=_PADDED * most, equal_nan=True):
            return False
    return True


def _converted(graph: GraphProgram, chosen: Mapping[str, tuple[int, ...]]) -> bytes:
    """The file, with one signature of LiteRT's for each combination of sizes.

    Raises:
        UnsupportedByTarget: names the operator that LiteRT has no form of.
    """
    import torch

    with temporary() as folder, quiet(below=30):
        log = folder / "said"
        with redirected(log):
            import litert_torch

            from ..frontend.program import answering_tuple

            litert_torch.config.show_progress = False
            converter = litert_torch.Converter()
            module = answering_tuple(graph, graph.need_exported(LiteRt.name).module(check_guards=False))
            for number, held in enumerate(_combinations(chosen)):
                args = tuple(torch.tensor(array) for array in _example(graph, held).values())
                converter.signature(f"sizes_{number}", module, args)
            try:
                model: bytes = converter.convert().model_content()
            except Exception as exc:  # the converter fails in as many ways as its parts
                raise _meant(graph, exc, log.read_text(errors="replace")) from exc
    return model


def _example(graph: GraphProgram, held: Mapping[str, int]) -> Arrays:
    from ..frontend.dynamic import resized

    dims = {spec.name: spec.free for spec in graph.signature.inputs}
    feed = dict(graph.examples)
    for dim, size in {"batch": _BATCH, **held}.items():
        feed = resized(feed, dims, dim, size)
    return {spec.name: feed[spec.name] for spec in graph.signature.inputs}


def _meant(graph: GraphProgram, exc: Exception, said: str) -> ExportError | UnsupportedByTarget:
    """What the converter failed on, by the operator's name where it tells it."""
    found = (
        re.findall(r"Lowering not found: ([\w.]+)", str(exc))
        or re.findall(r"target=torch\.ops\.([\w.]+)\]", str(exc))[-1:]
        or re.findall(r"failed to legalize operation '([\w.]+)'", said)
    )
    if not found:
        return ExportError(
            f"litert could not convert graph '{graph.name}': {first_line(exc)}", "see the log, or use another target"
        )
    return UnsupportedByTarget(
        f"litert has no {', '.join(dict.fromkeys(found))}, which graph '{graph.name}' needs",
        "write the model without it, or use another target",
    )


def _rounded(content: bytes, precision: str, graph: str) -> bytes:
    """The file with narrower weights, by LiteRT's own quantiser.

    Raises:
        UnsupportedByTarget: there is nothing in it that the quantiser takes.
    """
    with quiet(below=30, printed=True):
        from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe, recipe_manager

        if precision == "fp16":
            halves = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
            manager = recipe_manager.RecipeManager()
            manager.add_quantization_config(
                regex=".*",
                operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
                op_config=qtyping.OpQuantizationConfig(
                    weight_tensor_config=halves,
                    compute_precision=qtyping.ComputePrecision.FLOAT,
                    explicit_dequantize=True,
                ),
                algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
            )
            wanted = manager.get_quantization_recipe()
        else:
            wanted = recipe.dynamic_wi8_afp32()
        made: bytes = bytes(quantizer.Quantizer(content, wanted).quantize().quantized_model)
    if not _holds_narrow(made):
        raise UnsupportedByTarget(
            f"LiteRT's quantiser finds nothing to round in graph '{graph}': it takes weights of products and "
            "convolutions",
            "use fp32",
        )
    return made


def _holds_narrow(content: bytes) -> bool:
    """Whether any tensor of a file is of half floats or of 8-bit integers."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    narrow = {schema.TensorType.FLOAT16, schema.TensorType.INT8}
    return any(tensor.type in narrow for graph in model.subgraphs for tensor in graph.tensors)
