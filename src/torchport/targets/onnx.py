"""ONNX, run by ONNX Runtime: servers, desktops, browsers, phones.

The file is what the exporter says minus everything that depends on where and when it ran; names and dynamic dimensions
are the signature's. The runtime's own optimised form of it depends on the CPU, so it lives in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..errors import ExportError, RunError, UnsupportedByTarget, first_line
from ..feed import own_settings
from ..system import cache, machine
from ..system.noise import LEAF_SPEC, quiet
from ..types import Signature, TensorIO, Used
from .base import GROUP, Arrays, ExportOptions, Target, plain_io
from .shared.onnx_quantisers import QUANTISERS, matmuls, strip
from .shared.part import Part
from .shared.runner import Runner

if TYPE_CHECKING:
    import onnx
    import onnxruntime

    from ..frontend.layers import Layer
    from ..frontend.program import GraphProgram
    from ..types import GraphFile

CPU = "CPUExecutionProvider"

DEPRECATED = (
    LEAF_SPEC,
    ("You are using the legacy TorchScript-based ONNX export", DeprecationWarning),
    ("The feature will be removed", DeprecationWarning),
)
"""What the exporters say to their own developers."""

SETTINGS = {"session.disable_quant_qdq": ("1",)}
"""What a Bundle may set of a session."""

ONE_FILE_BYTES = 2 * 1024**3 - 2**24
"""The greatest weight that still fits in one protobuf message, with room for the graph itself."""


class OnnxRunner(Runner):
    """An ONNX Runtime session on one explicit execution provider; nothing falls back silently.

    `provider` is ONNX Runtime's own name of it, such as `CUDAExecutionProvider`.
    """

    concurrent = True

    def _open(self, path: Path) -> None:
        import onnxruntime as ort

        wanted = self.provider or CPU
        if self.device != "cpu" and self.provider is None:
            raise RunError(
                f"onnx has no device '{self.device}' by itself",
                f"name a provider: {', '.join(ort.get_available_providers())}",
            )
        if wanted not in ort.get_available_providers():
            raise RunError(f"this ONNX Runtime has no {wanted}", f"it has {', '.join(ort.get_available_providers())}")
        session = (
            self._optimised(path)
            if wanted == CPU and len(self.graph.files) == 1
            else self._session(path, wanted, self._options())
        )
        if session.get_providers()[0] != wanted:
            raise RunError(
                f"ONNX Runtime uses {session.get_providers()[0]} instead of {wanted}",
                "its libraries may be missing on this machine",
            )
        self._runs: Any = session
        self._outputs = [self.graph.io[spec.name].name for spec in self.signature.outputs]
        threads = session.get_session_options().intra_op_num_threads
        self.used = Used(
            library="onnxruntime", version=ort.__version__, provider=wanted, precision="fp32", threads=threads or None
        )

    def _optimised(self, path: Path) -> onnxruntime.InferenceSession:
        """A session from the cached optimised model; made, and kept for the next time, where there is none.

        Opening EfficientNet-Lite0 takes 37 ms in a fresh process from the cache and 61 ms without.
        """
        import onnxruntime as ort

        here = machine.describe()
        kept = cache.entry(
            "onnxruntime",
            cache.digest(path),
            ort.__version__,
            repr(self.graph.session),
            here.cpu,
            *here.instruction_sets,
        )
        # ONNX Runtime has no common exception of its own, and no cache, however damaged, may keep a good model from
        # opening.
        found = kept and cache.find(kept, ".onnx")
        if found:
            with contextlib.suppress(Exception):
                options = self._options()
                options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
                return self._session(found, CPU, options)
        fresh = kept and cache.scratch(kept)
        if kept and fresh:
            with contextlib.suppress(Exception):
                options = self._options()
                options.optimized_model_filepath = str(fresh)
                session = self._session(path, CPU, options)
                cache.keep(fresh, kept, ".onnx")
                return session
            fresh.unlink(missing_ok=True)
        return self._session(path, CPU, self._options())

    def _options(self) -> onnxruntime.SessionOptions:
        import onnxruntime as ort

        options = ort.SessionOptions()
        for name, value in own_settings(self.graph.session, SETTINGS).items():
            options.add_session_config_entry(name, value)
        options.log_severity_level = (
            3  # errors: it warns that an optimised model suits this CPU only, which the cache's key knows
        )
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        return options

    def _session(self, path: Path, provider: str, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
        import onnxruntime as ort

        try:
            return ort.InferenceSession(str(path), options, providers=[provider])
        except Exception as exc:  # ONNX Runtime has no common exception of its own
            missing = re.search(r"Could not find an implementation for (\w+)\(\d+\)", str(exc))
            if missing is None:
                raise
            raise RunError(
                f"ONNX Runtime has no {missing[1]} for the types that the graph hands it (bfloat16, for one)",
                "compute in float32 there, or leave this target out",
            ) from exc

    def _run(self, feed: Arrays) -> Arrays:
        return dict(zip(self._outputs, self._runs.run(self._outputs, feed), strict=True))

    def _said(self, exc: Exception) -> str:
        text = super()._said(exc)
        found = re.search(r"running (\w+) node\. Name:'[^']*' Status Message: (.*)", text)
        return f"{found[1]}: {found[2]}" if found else re.sub(r"\w+: \[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)

    def _close(self) -> None:
        self._runs = None


class Onnx(Target):
    """One `.onnx` file a graph; weights beyond 2 GB lie beside it."""

    name = "onnx"
    suffix = "onnx"
    turn = 0
    module = "onnxruntime"
    packages = ("onnxruntime",)
    build_modules = ("torch", "onnx", "onnxscript", "onnxslim")
    precisions = ("fp32", "int8_weights", "int8_static", "int8_dynamic", "int4_weights", "int4_hqq")
    profiles = ("python", "server", "web", "android", "ios")
    tolerances = {("fp32", "cpu"): 1e-4}
    runner = OnnxRunner

    def session(self, precision: str) -> dict[str, str]:
        """Integer weights of a float product are unpacked once, as the session opens: left alone they are unpacked at
        every call (EfficientNet-Lite0: 50 ms where it takes 11)."""
        return {"session.disable_quant_qdq": "1"} if precision == "int8_weights" else {}

    def layers(self, graph: GraphFile, folder: Path, feed: Arrays) -> list[Layer] | None:
        """Every value, from a session that hands all of them out."""
        from .shared.onnx_layers import layers

        return layers(folder / graph.entry, feed)

    def part(self, entry: Path, inputs: Sequence[str], output: str, folder: Path) -> Part | None:
        """The operators between the given values and the output."""
        from .shared.onnx_layers import part

        return part(entry, inputs, output, folder)

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        import onnx
        import torch

        with quiet(*DEPRECATED, loggers=("torch.onnx",)):  # it lists torchvision's operators as missing
            if (
                graph.exported is None
                or isinstance(graph.module, torch.jit.ScriptModule)
                or (graph.module is not None and graph.operators() & _ONLY_BY_TORCHSCRIPT)
            ):
                note("exported by the TorchScript exporter, which PyTorch has deprecated")
                names = _by_torchscript(graph, entry)
            else:
                names = _by_dynamo(graph, entry)
        model = onnx.load(entry, load_external_data=False)
        if len(list(entry.parent.glob(f"{entry.name}*"))) == 1:
            model = _slim(model, note)
        strip(model)
        _restore_inputs(model.graph, graph.signature, names)
        _spell(model.graph, graph.signature)
        if options.precision in QUANTISERS:
            model = QUANTISERS[options.precision](matmuls(model), graph, int(options.strength or GROUP))
        entry.write_bytes(model.SerializeToString(deterministic=True))
        return _io(model.graph, graph.signature)


_ONLY_BY_TORCHSCRIPT = {"aten.rnn_tanh.input", "aten.rnn_relu.input"}
"""Operators that only the older exporter writes as one operator of ONNX, which takes any number of steps."""


def _by_dynamo(graph: GraphProgram, entry: Path) -> list[str]:
    """The exporter's own names of all inputs, in order; it may leave out of the file those that nothing reads."""
    import torch

    from ..frontend.binding import program_inputs
    from ..frontend.decompositions import FOR_ONNX, decomposed
    from ..frontend.fold import folded
    from .shared.onnx_registry import registry_kept

    exported = decomposed(folded(graph.need_exported(Onnx.name)), FOR_ONNX)
    weight = sum(
        t.nbytes for t in (*exported.state_dict.values(), *exported.constants.values()) if isinstance(t, torch.Tensor)
    )
    try:
        with registry_kept():
            torch.onnx.export(exported, (), entry, dynamo=True, external_data=weight > ONE_FILE_BYTES, verbose=False)
    except torch.onnx.OnnxExporterError as exc:
        innermost: BaseException = exc
        while innermost.__cause__:
            innermost = innermost.__cause__
        raise UnsupportedByTarget(
            f"onnx cannot express graph '{graph.name}': {_said(innermost)}",
            "replace that operator, or leave this target out",
        ) from exc
    return [one.name for one in program_inputs(exported)]


def _said(exc: BaseException) -> str:
    """What the exporter fails on, without its own names for it."""
    text = first_line(exc, kind=False)
    missing = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)', overload='(\w+)'\)>", text)
    return f"it has no form of {missing[1]}.{missing[2]}" if missing else text


def _by_torchscript(graph: GraphProgram, entry: Path) -> list[str]:
    """As `_by_dynamo`."""
    import torch

    from ..frontend.words import only_scripted

    signature = graph.signature
    names = [f"input.{i}" for i, _ in enumerate(signature.inputs)]
    specs = [
        *((f"input.{i}", spec) for i, spec in enumerate(signature.inputs)),
        *((f"output.{i}", spec) for i, spec in enumerate(signature.outputs)),
    ]
    try:
        torch.onnx.export(
            graph.callable(),
            graph.args(),
            entry,
            dynamo=False,
            input_names=names,
            output_names=[f"output.{i}" for i, _ in enumerate(signature.outputs)],
            dynamic_axes={name: spec.free for name, spec in specs},
        )
    except (torch.onnx.OnnxExporterError, RuntimeError) as exc:
        why, hint = only_scripted(graph.said, exc)
        raise UnsupportedByTarget(f"onnx takes graph '{graph.name}' {why}", hint) from exc
    return names


def _restore_inputs(graph: onnx.GraphProto, signature: Signature, names: Sequence[str]) -> None:
    """Put back inputs that forward does not read, which an exporter or the optimiser leaves out: the signature stays
    the model's.
    """
    from onnx import helper

    kept = {value.name: value for value in graph.input}
    if len(kept) == len(names) or not set(kept) <= set(names):
        return
    made = [
        kept.get(name)
        or helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), list(spec.shape))
        for name, spec in zip(names, signature.inputs, strict=True)
    ]
    del graph.input[:]
    graph.input.extend(made)


def _slim(model: onnx.ModelProto, note: Callable[[str], None]) -> onnx.ModelProto:
    """Fold and fuse what the exporter left; a model that the optimiser cannot take stays as it is."""
    import onnxslim

    try:
        return onnxslim.slim(model)  # type: ignore[no-any-return]
    except Exception as exc:  # it is optional, and fails in as many ways as there are graphs
        note(f"not slimmed: {type(exc).__name__}")
        return model


def _spell(graph: onnx.GraphProto, signature: Signature) -> None:
    """Give inputs, outputs and their dimensions the signature's names, whatever the names inside.

    Raises:
        ExportError: the exporter gave another number of inputs or outputs than were captured.
    """
    from onnx import helper

    if (len(graph.input), len(graph.output)) != (len(signature.inputs), len(signature.outputs)):
        raise ExportError(
            f"the exporter kept {len(graph.input)} of {len(signature.inputs)} inputs and gave {len(graph.output)} of "
            f"{len(signature.outputs)} outputs",
            "report this model; another target may take it",
        )
    new = {value.name: spec.name for value, spec in zip(graph.input, signature.inputs, strict=True)}
    constants = {tensor.name for tensor in graph.initializer}
    for value, spec in zip(graph.output, signature.outputs, strict=True):
        if (
            value.name in new or value.name in constants
        ):  # an input, a constant, or another output's tensor handed out again
            graph.node.append(
                helper.make_node("Identity", [value.name], [f"{value.name}.{spec.name}"], name=f"Identity.{spec.name}")
            )
            value.name = f"{value.name}.{spec.name}"
        new[value.name] = spec.name
    taken = set(new.values())
    for name in _inner_names(graph):
        if name in taken and name not in new:
            new[name] = f"{name}.inner"
    _rename(graph, new)
    for value, spec in zip((*graph.input, *graph.output), (*signature.inputs, *signature.outputs), strict=True):
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for dim in spec.shape:
            shape.dim.add(**({"dim_value": dim} if isinstance(dim, int) else {"dim_param": dim}))


def _subgraphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    return [
        sub
        for node in graph.node
        for attribute in node.attribute
        for sub in ([attribute.g] if attribute.HasField("g") else attribute.graphs)
    ]


def _inner_names(graph: onnx.GraphProto) -> list[str]:
    names = [tensor.name for tensor in graph.initializer] + [name for node in graph.node for name in node.output]
    return names + [
        name for sub in _subgraphs(graph) for name in ([value.name for value in sub.input] + _inner_names(sub))
    ]


def _rename(graph: onnx.GraphProto, new: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = new.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for sub in _subgraphs(graph):
        _rename(sub, new)


def _io(graph: onnx.GraphProto, signature: Signature) -> dict[str, TensorIO]:
    from onnx import helper

    dtypes = {
        value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
        for value in (*graph.input, *graph.output)
    }
    return {name: msgspec.structs.replace(io, dtype=dtypes[name]) for name, io in plain_io(signature).items()}
