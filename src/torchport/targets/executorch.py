"""ExecuTorch: `.pte` files with the XNNPACK delegate, for phones and embedded systems.

Its memory is planned ahead for the greatest shape, so every dynamic dimension gets a bound, which `max_shape` tells.
Its own binding for Python takes torch tensors. Where PyTorch is not installed its libraries are reached without, see
`shared.executorch_native`, which needs a compiler of C++ once.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import re
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

import numpy as np

from ..errors import RunError, UnsupportedByTarget, first_line
from ..figures import size
from ..system.noise import quiet, redirected
from ..types import PLAIN, GraphFile, Signature, TensorIO, Used
from .base import Arrays, ExportOptions, Target, plain_io
from .shared.bounds import greatest
from .shared.executorch_words import blamed, meaning
from .shared.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch.export import ExportedProgram

    from ..frontend.program import GraphProgram

_METHOD = "forward"
_DELEGATE = "XnnpackBackend"
_MOST_PLANNED, _TRIES = 2**31, 6
"""Bytes of memory that a plan may take, and how often the greatest sizes are halved for that."""

_HINT = "where it is the memory, export it with bounds of the free sizes, such as batch=..4 or time=..256 in --input"

WEIGHTY = 1000
"""Constants that a graph around the model must hold to be given to XNNPACK."""


class ExecuTorchRunner(Runner):
    """Runs the method `forward`: inputs and outputs by position, in the signature's order.

    The thread pool is one for the process, and an open runner keeps hold of it: it is resized only while no other
    runner is open, and `used` tells its real size.
    """

    _opened: ClassVar[WeakSet[ExecuTorchRunner]] = WeakSet()

    def _open(self, path: Path) -> None:
        self._need_cpu(by="xnnpack")
        data = path.read_bytes()  # from memory: the native reader does not take every file name
        with redirected(None):  # it tells of its threads, and of its search for the kind of CPU
            try:
                threads = self._load(data) if _has_torch() else self._load_natively(data)
            except (RuntimeError, MemoryError) as exc:
                raise RunError(f"executorch cannot open {path.name}: {self._said(exc)}", _HINT) from exc
        self._opened.add(self)
        self.used = Used(
            library="executorch",
            version=importlib.metadata.version("executorch"),
            provider="xnnpack" if _DELEGATE.encode() in data else "portable",
            precision="fp32",
            threads=threads,
        )

    def _load(self, data: bytes) -> int:
        """By ExecuTorch's own binding, which takes torch tensors; how many threads there are."""
        import torch

        runtime = _runtime()
        if self.threads not in (None, runtime._threadpool_get_thread_count()) and not self._opened:
            runtime._unsafe_reset_threadpool(self.threads)
        program = runtime._load_program_from_buffer(data, program_verification=runtime.Verification.InternalConsistency)
        self._held: Any = (data, program)  # the memory that the method reads
        method = program.load_method(_METHOD)
        self._method: Any = lambda arrays: method([torch.tensor(array) for array in arrays])
        return int(runtime._threadpool_get_thread_count())

    def _load_natively(self, data: bytes) -> int:
        """Where PyTorch is not installed: by ExecuTorch's libraries alone."""
        from .shared.executorch_native import Program

        program = self._held = Program(data, None if self._opened else self.threads)
        self._method = program.run
        return program.threads

    def _run(self, feed: Arrays) -> Arrays:
        given = list(feed.values())
        try:
            answer = self._method(given)
        except RuntimeError as exc:
            raise RuntimeError(f"{exc}{blamed(self._method, given)}") from exc
        names = [self.graph.io[spec.name].name for spec in self.signature.outputs]
        return {name: np.asarray(tensor) for name, tensor in zip(names, answer, strict=True)}

    def _said(self, exc: Exception) -> str:
        return meaning(super()._said(exc))

    def _close(self) -> None:
        if hasattr(self._held, "close"):
            self._held.close()
        self._method = self._held = None
        self._opened.discard(self)


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


class ExecuTorch(Target):
    """The exported program, bounded, lowered to XNNPACK where that has the operator, to portable kernels elsewhere."""

    name = "executorch"
    suffix = "pte"
    turn = 2
    module = "executorch"
    packages = ("executorch",)
    build_modules = ("torch", "torchao")
    precisions = ("fp32", "int8_xnnpack", "int8_dynamic")
    profiles = ("android", "ios")
    xfail = {"check_export[scripted]": "only TorchScript captures a loop over a dynamic length"}
    opens = "older"
    runner = ExecuTorchRunner

    def load_library(self) -> None:
        """The runtime, which is more than its package says; where PyTorch is not installed, its libraries alone."""
        if _has_torch():
            _runtime()
            return
        from .shared.executorch_native import library

        library()

    def slowest_import(self) -> str:
        """PyTorch, where it is installed."""
        return "torch" if _has_torch() else self.module

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        from ..system.disk import write_file

        for _ in range(_TRIES):
            with quiet(), redirected(None):
                program = bound(graph, options, self.name, _rounding if options.precision == "int8_dynamic" else None)
                lowered = _lowered(graph, program)
            plan = lowered.executorch_program.execution_plan[0]
            planned = sum(plan.non_const_buffer_sizes)
            if planned <= _MOST_PLANNED:
                break
            options = replace(options, max_batch=max(options.max_batch // 2, 1), max_size=options.max_size // 2)
        else:
            raise UnsupportedByTarget(
                f"executorch plans its memory ahead, {size(planned)} for the greatest sizes of graph '{graph.name}'",
                "bound the free sizes, such as --input 'x:float32[batch=..4,3,height=32..256,width=32..256]'",
            )
        _require_kernels(plan, graph.name)
        buffer = io.BytesIO()
        lowered.write_to_file(buffer)
        write_file(entry, buffer.getbuffer())
        return plain_io(graph.signature, max_shapes=_max_shapes(plan, graph.signature))


def _lowered(graph: GraphProgram, program: ExportedProgram) -> Any:
    """The program as ExecuTorch's, what XNNPACK takes given to it.

    Raises:
        UnsupportedByTarget: names what ExecuTorch has no form of.
    """
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
    from torch._export.verifier import SpecViolationError

    from .shared.executorch_passes import needed_patterns_only

    # XNNPACK takes unsqueeze, and then refuses it where more than one dimension is dynamic
    refused = {"unsqueeze_copy.default"} if len(graph.signature.dims) > 1 else set()
    configs = [config for config in ALL_PARTITIONER_CONFIGS if config.target_name not in refused]
    partitioner = [XnnpackPartitioner(configs=configs)] if graph.name == "model" or _weighty(program) else []
    # its check comes before the functions that work out sizes, such as torch.sym_min, are made its own
    checks = not any(isinstance(node.target, FunctionType) for node in program.graph.nodes)
    try:
        with needed_patterns_only():
            return to_edge_transform_and_lower(
                program, partitioner=partitioner, compile_config=EdgeCompileConfig(_check_ir_validity=checks)
            ).to_executorch()
    except SpecViolationError as exc:
        raise _unsupported(
            re.findall(r"Operator torch\._ops\.(\S+) is not", str(exc))
            or [f"{name} of such types" for name in re.findall(r"EdgeOpOverload: ([\w.]+)>", str(exc))]
            or [first_line(exc, kind=False)],
            graph.name,
        ) from exc


def _weighty(program: ExportedProgram) -> bool:
    """Whether a graph around the model holds enough constants for XNNPACK to be worth it. The resize of pictures holds
    a mean and a deviation: its many small operators take as long without (50 ms at 512 x 512), and are lowered in half
    the time."""
    import torch

    return (
        sum(
            t.numel()
            for t in (*program.state_dict.values(), *program.constants.values())
            if isinstance(t, torch.Tensor)
        )
        >= WEIGHTY
    )


def xnnpack_quantizer(*, dynamic: bool = False) -> Any:
    """ExecuTorch's quantiser for XNNPACK: signed 8-bit integers, weights symmetric and per channel.

    Args:
        dynamic: activations are rounded as they come, of matrix multiplications only; else every range is to be found
        on data.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torch import ops

    aten = ops.aten
    clamps = (aten.hardtanh.default, aten.hardtanh_.default, aten.relu6.default, aten.relu6_.default)

    class Mended(XNNPACKQuantizer):  # type: ignore[misc]
        def transform_for_annotation(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            """It makes floats of the numbers that are added to integers too, and then of positions that are looked
            up.
            """
            whole = [
                (node, node.args)
                for node in model.graph.nodes
                if node.target in (aten.add.Tensor, aten.mul.Tensor) and not node.meta["val"].is_floating_point()
            ]
            made: torch.fx.GraphModule = super().transform_for_annotation(model)
            for node, arguments in whole:
                node.args = arguments
            made.graph.eliminate_dead_code()
            made.recompile()
            return made

        def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            """It joins a convolution with the ReLU after it, and rounds what a ReLU6 is yet to cut off: of
            EfficientNet-Lite0, 9 dB are left of 19. XNNPACK itself joins both kinds."""
            found = [(node, node.target, node.args) for node in model.graph.nodes if node.target in clamps]
            for node, _, arguments in found:
                node.target, node.args = aten.relu.default, arguments[:1]
            try:
                made: torch.fx.GraphModule = super().annotate(model)
            finally:
                for node, target, arguments in found:
                    node.target, node.args = target, arguments
            return made

    return Mended().set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=dynamic))


def _rounding(module: torch.fx.GraphModule, inputs: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    """The module with 8-bit weights, whose matrix multiplications round what they multiply as it comes.

    Raises:
        UnsupportedByTarget: there is no such product.
    """
    from ..frontend.observing import observed

    made = observed(module, xnnpack_quantizer(dynamic=True), [inputs])
    if not any("quantize" in str(node.target) for node in made.graph.nodes):
        raise UnsupportedByTarget(
            "XNNPACK's quantiser finds nothing to quantise: it takes matrix multiplications with constant weights",
            "leave this target out",
        )
    return made


def bound(
    graph: GraphProgram,
    options: ExportOptions,
    target: str,
    change: Callable[[torch.fx.GraphModule, tuple[torch.Tensor, ...]], torch.nn.Module] | None = None,
) -> ExportedProgram:
    """The exported program again, each dynamic dimension with a greatest size.

    The batch gets `options.max_batch`, where the signature does not say less; any other the signature's bound, else
    `options.max_size`.

    Args:
        change: makes another module of it on the way, shown inputs.

    Raises:
        UnsupportedByTarget: the graph fixes a dimension that the signature leaves open.
    """
    import torch

    from ..frontend.dynamic import resized, sizes
    from .shared.executorch_passes import rows_as_pictures, writes_in_place

    exported = graph.need_exported(target)
    if exported.constants and writes_in_place(exported):  # onto a constant, that does not survive a second export
        exported = exported.run_decompositions({})
    if options.precision == PLAIN and len(graph.signature.dims) > 1:
        exported = rows_as_pictures(exported)
    module = exported.module(check_guards=False)
    dims = {spec.name: spec.free for spec in graph.signature.inputs}
    most = greatest(graph.signature, options)
    feed = graph.examples
    for dim, here in sizes(feed, dims).items():
        feed = resized(feed, dims, dim, min(max(here, 2), most[dim]))  # a size of 1 would be taken for a constant
    inputs = tuple(torch.tensor(feed[spec.name]) for spec in graph.signature.inputs)
    hints = {
        dim: torch.export.Dim.DYNAMIC(min=graph.signature.dims[dim].min, max=max(limit, 3))  # so would one up to 2
        for dim, limit in most.items()
        if limit > 1
    }
    try:
        return torch.export.export(
            change(module, inputs) if change else module,
            inputs,
            dynamic_shapes=tuple(
                {axis: hints[dim] for axis, dim in dims[spec.name].items() if dim in hints}
                for spec in graph.signature.inputs
            ),
        )
    except torch._dynamo.exc.UserError as exc:
        wanted = ", ".join(f"{dim} <= {one}" for dim, one in most.items())
        raise UnsupportedByTarget(
            f"{target} cannot bound graph '{graph.name}' to {wanted}: {first_line(exc, kind=False)}",
            "capture it with fixed sizes",
        ) from exc


def _require_kernels(plan: Any, graph: str) -> None:
    """See that the runtime has a kernel for every operator that XNNPACK left over.

    Raises:
        UnsupportedByTarget: names those that it has not (loading the file would only say error 0x14).
    """
    wanted = {f"{op.name}.{op.overload}" if op.overload else op.name for op in plan.operators}
    missing = sorted(wanted - set(_runtime()._get_operator_names()))
    if missing:
        raise _unsupported(missing, graph)


def _unsupported(operators: list[str], graph: str) -> UnsupportedByTarget:
    return UnsupportedByTarget(
        f"executorch has no {', '.join(operators)}, which graph '{graph}' needs",
        "write the model without it, or use another target",
    )


def _max_shapes(plan: Any, signature: Signature) -> dict[str, tuple[int, ...]]:
    """The shapes that memory was planned for, by tensor."""
    planned: dict[str, tuple[int, ...]] = {}
    for specs, indices in ((signature.inputs, plan.inputs), (signature.outputs, plan.outputs)):
        planned |= {spec.name: tuple(plan.values[index].val.sizes) for spec, index in zip(specs, indices, strict=True)}
    return planned


def _runtime() -> Any:
    """ExecuTorch's runtime, one for the process: the native library alone. `executorch.runtime` wraps the same calls,
    and imports the converter with the whole compiler of PyTorch for it, 4 s of processor time.
    """
    with quiet(), redirected(None):
        import torch  # noqa: F401 - the library links to it
        from executorch.extension.pybindings import _C

        return _C
