"""OpenVINO IR: Intel and other x86 CPUs, Intel GPUs.

Converted through OpenVINO's PyTorch frontend itself: `openvino.convert_model` wraps the same frontend in telemetry, and
records its parameters in the file.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RunError, UnsupportedByTarget, plain
from ..feed import own_settings
from ..system import cache, machine
from ..system.noise import LEAF_SPEC, quiet
from ..types import TensorIO, Used
from .base import GROUP, Arrays, ExportOptions, Target, plain_io
from .shared.part import Part
from .shared.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..frontend.layers import Layer
    from ..frontend.program import GraphProgram
    from ..types import GraphFile

SETTINGS = {"INFERENCE_PRECISION_HINT": ("bf16",), "DYNAMIC_QUANTIZATION_GROUP_SIZE": ("0",)}
"""What a Bundle may set of a compiled model."""

_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
MOST_FEEDS = 128
"""Calibration feeds that 4-bit weights are fitted to: nncf's own default."""
_INTEGERS = ("int8_weights", "int8_static", "int8_dynamic", "int4_weights", "int4_awq", "int4_gptq")
_LAYER_NAME = re.compile(r'(?<=<layer )(id="\d+" name=")([^"]*)(?=")')
_COUNTER = re.compile(r"_\d+(?=$|/|_compressed)")


_SCRIPT = '''\
"""Shows the divergence with OpenVINO alone: pip install openvino safetensors."""

import numpy as np
import openvino as ov
from safetensors.numpy import load_file

core = ov.Core()
model = core.read_model("part.xml")
layer = next(one for one in model.get_ops() if one.get_friendly_name() == "{output}")
model.add_outputs([layer.output(0)])
place = [one.input_value(0).get_node().get_friendly_name() for one in model.get_results()].index("{output}")
compiled = core.compile_model(model, "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
feed = load_file("inputs.safetensors")
got = compiled([feed[name] for name in {names}])[place]
wanted = load_file("expected.safetensors")["expected"].reshape(got.shape)
print("distance from the reference:", np.linalg.norm(got - wanted) / np.linalg.norm(wanted))
'''


class OpenVinoRunner(Runner):
    """A compiled model on one explicit device, computing in fp32 whatever the weights are stored in.

    `provider` is OpenVINO's own name of a device, such as `GPU.1`; without it `device` is.
    """

    def _open(self, path: Path) -> None:
        import openvino as ov

        core = ov.Core()
        wanted = (self.provider or self.device).upper()
        # Where a CPU has bf16, OpenVINO computes in it unless told not to: an error of 2e-2 on EfficientNet-Lite0.
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            **own_settings(self.graph.session, SETTINGS),
        }
        if self.threads is not None:
            settings["INFERENCE_NUM_THREADS"] = self.threads
        try:
            compiled = (
                self._compiled(core, path, settings)
                if wanted == "CPU"
                else core.compile_model(core.read_model(path), wanted, settings)
            )
        except RuntimeError as exc:  # listing the devices loads every one's driver, so it waits until one is missing
            if wanted.partition(".")[0] in {name.partition(".")[0] for name in core.available_devices}:
                raise
            raise RunError(
                f"OpenVINO has no device {wanted} here", f"it has {', '.join(core.available_devices)}"
            ) from exc
        self._request: Any = compiled.create_infer_request()
        self.used = Used(
            library="openvino",
            version=ov.get_version().partition("-")[0],
            provider=",".join(compiled.get_property("EXECUTION_DEVICES")),
            precision=_PRECISIONS.get(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()),
            threads=compiled.get_property("INFERENCE_NUM_THREADS") if wanted == "CPU" else None,
        )

    def _compiled(self, core: Any, path: Path, settings: dict[str, Any]) -> Any:
        """The model compiled for this CPU, from the user's cache folder; made, and kept for the next time, where it is
        not there.

        Opening EfficientNet-Lite0 in a fresh process takes 40 % less time from the cache (140 ms where it takes 227
        without).
        """
        import openvino as ov

        here = machine.describe()
        hashes = [cache.digest(path.with_name(name)) for name in self.graph.files]
        kept = cache.entry("openvino", *hashes, ov.get_version(), repr(settings), here.cpu, *here.instruction_sets)
        # OpenVINO has no common exception of its own, and no cache, however damaged, may keep a good model from
        # opening.
        found = kept and cache.find(kept, ".blob")
        if found:
            with contextlib.suppress(Exception):
                self._blob = ov.Tensor(
                    np.fromfile(found, np.uint8), shared_memory=True
                )  # the model takes its weights out of it
                return core.import_model(self._blob, "CPU", settings)
        compiled = core.compile_model(core.read_model(path), "CPU", settings)
        fresh = kept and cache.scratch(kept)
        if kept and fresh:
            try:
                fresh.write_bytes(compiled.export_model().getbuffer())
                cache.keep(fresh, kept, ".blob")
            except Exception:
                fresh.unlink(missing_ok=True)
        return compiled

    def _run(self, feed: Arrays) -> Arrays:
        # By position, which the IR keeps: where an input is handed out as an output, the two share one set of names.
        self._request.infer(dict(enumerate(feed.values())), share_inputs=True)
        return {
            self.graph.io[spec.name].name: self._request.get_output_tensor(i).data.copy()
            for i, spec in enumerate(self.signature.outputs)
        }

    def _close(self) -> None:
        self._request = None


class OpenVino(Target):
    """One `.xml` and one `.bin` a graph; `fp16` stores the weights in half the space and computes in fp32."""

    name = "openvino"
    suffix = "xml"
    module = "openvino"
    packages = ("openvino",)
    build_modules = ("torch",)
    precisions = ("fp32", "fp16", "bf16", *_INTEGERS, *(f"{name}+bf16" for name in _INTEGERS))
    tolerances = {("fp32", "cpu"): 1e-4, ("fp16", "cpu"): 5e-3, ("bf16", "cpu"): 5e-2}
    profiles = ("python", "server")
    opens = "older"
    runner = OpenVinoRunner

    def needs(self, precision: str) -> tuple[str, str] | None:
        """Integers come through ONNX, whose quantised matrix multiplications OpenVINO reads; its PyTorch frontend does
        not know PT2E's.
        """
        integers = precision.partition("+")[0]
        return ("onnx", integers) if integers in ("int8_weights", "int8_static") else None

    def session(self, precision: str) -> dict[str, str]:
        """How a graph of that precision is compiled; without the second, 8-bit weights make OpenVINO round activations
        as well.
        """
        floats = {"INFERENCE_PRECISION_HINT": "bf16"} if precision.endswith("bf16") else {}
        return floats | ({"DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"} if precision.startswith("int8_weights") else {})

    def layers(self, graph: GraphFile, folder: Path, feed: Arrays) -> list[Layer] | None:
        """Every value, from a model compiled with all of them as outputs."""
        import openvino as ov

        from ..frontend.layers import Layer as Inside

        core = ov.Core()
        model = core.read_model(folder / graph.entry)
        made = [
            node
            for node in model.get_ordered_ops()
            if node.get_type_name() not in ("Parameter", "Constant", "Result") and node.get_output_size() == 1
        ]
        model.add_outputs([node.output(0) for node in made])
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        request = compiled.create_infer_request()
        request.infer(dict(enumerate(feed.values())), share_inputs=True)
        # what is an output already is not made one again
        numbers = {one.input_value(0).get_node().get_friendly_name(): i for i, one in enumerate(model.get_results())}
        return [
            Inside(
                name=node.get_friendly_name(),
                op=node.get_type_name(),
                inputs=tuple(
                    source.get_friendly_name()
                    for source in (one.get_node() for one in node.input_values())
                    if source.get_type_name() != "Constant"
                ),
                value=request.get_output_tensor(numbers[node.get_friendly_name()]).data.copy(),
            )
            for node in made
        ]

    def part(self, entry: Path, inputs: Sequence[str], output: str, folder: Path) -> Part | None:
        """The whole model, of which the script asks for one value."""
        import openvino as ov

        for path in (entry, entry.with_suffix(".bin")):
            shutil.copyfile(path, folder / f"part{path.suffix}")
        names = tuple(one.get_any_name() for one in ov.Core().read_model(entry).inputs)
        return Part(names, _SCRIPT.format(output=output, names=list(names)))

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        import openvino as ov
        from openvino._offline_transformations import apply_fused_names_cleanup, apply_moc_transformations

        with quiet(LEAF_SPEC, below=logging.WARNING):  # of operators that this PyTorch does not have
            model = _convert(graph) if parent is None else ov.Core().read_model(entry.parent / "parent" / parent.entry)
        # Folded here once, EfficientNet-Lite0 opens in half the time that folding it on every opening takes.
        apply_moc_transformations(model, cf=False, smart_reshape=True)
        apply_fused_names_cleanup(model)
        if (integers := options.precision.partition("+")[0]) in _WEIGHTS:
            model = _compressed(
                model, *_WEIGHTS[integers], int(options.strength or GROUP), options.feeds.get(graph.name, ())
            )
        signature = graph.signature
        model.reshape({i: _shape(spec.shape) for i, spec in enumerate(signature.inputs)})
        for port, spec in zip((*model.inputs, *model.outputs), (*signature.inputs, *signature.outputs), strict=True):
            port.set_names({spec.name})
            port.node.set_friendly_name(spec.name)
        model.set_friendly_name(graph.name)
        io = plain_io(signature)
        ov.save_model(model, entry, compress_to_fp16=options.precision in ("fp16", "bf16"))
        entry.write_text(_renumbered(entry.read_text(encoding="utf-8"), keep=set(io)), encoding="utf-8")
        return io


_FOUR_BITS: dict[str, Any] = {"ratio": 1.0, "all_layers": True}
_WEIGHTS: dict[str, tuple[str, dict[str, Any]]] = {
    "int4_weights": ("INT4_SYM", _FOUR_BITS),
    "int4_awq": ("INT4_SYM", {**_FOUR_BITS, "awq": True, "scale_estimation": True}),
    "int4_gptq": ("INT4_SYM", {**_FOUR_BITS, "gptq": True}),
    "int8_dynamic": ("INT8_SYM", {}),
}
"""What nncf is asked for, by precision. OpenVINO itself rounds activations to 8 bits where weights are integers and the
CPU gains by it.
"""


def _compressed(model: Any, mode: str, options: dict[str, Any], group: int, feeds: Sequence[Arrays]) -> Any:
    import nncf

    if options.keys() & {"awq", "gptq"}:
        options = {
            **options,
            "dataset": nncf.Dataset([tuple(feed.values()) for feed in feeds]),
            "subset_size": min(len(feeds), MOST_FEEDS),
        }
    if mode == "INT4_SYM":
        options = {**options, "group_size": group if any(width % group == 0 for width in _widths(model)) else -1}
    return nncf.compress_weights(model, mode=nncf.CompressWeightsMode[mode], **options)


def _widths(model: Any) -> list[int]:
    """The lengths of the rows that the model's matrix multiplications sum over."""
    return [
        node.input_value(1).get_shape()[-1]
        for node in model.get_ops()
        if node.get_type_name() == "MatMul" and node.input_value(1).get_partial_shape().is_static
    ]


_ONLY_FROM_TORCHSCRIPT = {"aten.lstm.input", "aten.gru.input", "aten.rnn_tanh.input", "aten.rnn_relu.input"}
"""Operators that the frontend knows in TorchScript only; from a torch.export program it would take a loop written out.
"""


def _convert(graph: GraphProgram) -> Any:
    """The graph as an OpenVINO model, its inputs' dtypes and shapes set as in the signature.

    The frontend knows operators in TorchScript that it does not know in a torch.export program.

    Raises:
        UnsupportedByTarget: an operator has no counterpart.
    """
    scripted = graph.exported is None or bool(graph.module is not None and graph.operators() & _ONLY_FROM_TORCHSCRIPT)
    try:
        return _read(graph, scripted=scripted)
    except UnsupportedByTarget as exc:
        if scripted or graph.module is None:
            raise
        try:
            return _read(graph, scripted=True)
        except Exception:  # what it lacks in the exported program says more
            raise exc from None


def _read(graph: GraphProgram, *, scripted: bool) -> Any:
    import numpy as np
    import openvino as ov
    from openvino.frontend import FrontEndManager, OpConversionFailure
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = (
        TorchScriptPythonDecoder(graph.callable(), example_input=graph.args())
        if scripted
        else TorchFXPythonDecoder.from_exported_program(graph.exported)
    )
    model = frontend.load(decoder)  # the decoder must outlive the conversion, which reads from it
    for place, spec in zip(model.get_inputs(), graph.signature.inputs, strict=False):
        model.set_partial_shape(place, _shape(spec.shape))
        model.set_element_type(place, ov.Type(np.dtype(spec.dtype)))
    try:
        return frontend.convert(model)
    except OpConversionFailure as exc:
        said = re.findall(
            r"^-- (?:No conversion rule found for operations|Conversion is failed for): (.*)$", str(exc), re.M
        )
        missing = plain(", ".join(dict.fromkeys(", ".join(said).replace("::", ".").split(", "))))
        raise UnsupportedByTarget(
            f"openvino cannot express graph '{graph.name}': it has no form of {missing or exc}",
            "replace that operator, or leave this target out",
        ) from exc


def _shape(dims: tuple[int | str, ...]) -> Any:
    import openvino as ov

    return ov.PartialShape([dim if isinstance(dim, int) else -1 for dim in dims])


def _renumbered(xml: str, keep: set[str]) -> str:
    """The IR with its layers' made-up names counted anew: the converter's counters go on from one model to the next."""
    counts: dict[str, int] = {}

    def rename(found: re.Match[str]) -> str:
        stem = found[2] if found[2] in keep else _COUNTER.sub("", found[2])
        counts[stem] = counts.get(stem, 0) + 1
        return f"{found[1]}{stem}" if counts[stem] == 1 else f"{found[1]}{stem}#{counts[stem]}"

    return _LAYER_NAME.sub(rename, xml)
