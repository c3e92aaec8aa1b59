"""Core ML: `.mlpackage` folders for Apple's systems.

The converter works anywhere, the runtime only on macOS and iOS: what is made elsewhere is checked against the signature
and kept, and nobody has run it there.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import ExportError, UnsupportedByTarget, first_line
from ..system import machine
from ..system.disk import write_file
from ..system.noise import quiet, redirected
from ..types import Signature, TensorIO, Used
from .base import Arrays, Availability, ExportOptions, Target, plain_io
from .shared.bounds import greatest
from .shared.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch.export import ExportedProgram

    from ..frontend.program import GraphProgram
    from ..types import GraphFile

_PLACE = "com.apple.CoreML"
_MODEL, _WEIGHTS = f"{_PLACE}/model.mlmodel", f"{_PLACE}/weights"
_TAKES = ("float32", "float16", "int32", "int64", "bool")
_DTYPES = {"FLOAT32": "float32", "FLOAT16": "float16", "INT32": "int32", "DOUBLE": "float64"}
_DATED = "com.github.apple.coremltools.conversion_date"
_NAME = re.compile(r"[A-Za-z_]\w*")


class CoreMlRunner(Runner):
    """The package compiled by Core ML, on the CPU."""

    def _open(self, path: Path) -> None:
        import coremltools as ct

        self._need_cpu()
        self._model: Any = ct.models.MLModel(str(path.parent), compute_units=ct.ComputeUnit.CPU_ONLY)
        self.used = Used(library="coremltools", version=importlib.metadata.version("coremltools"), provider="cpu")

    def _run(self, feed: Arrays) -> Arrays:
        return dict(self._model.predict(feed))

    def _close(self) -> None:
        self._model = None


class CoreMl(Target):
    """An ML program; `fp16` computes in half precision, which the Neural Engine asks for."""

    name = "coreml"
    suffix = "mlpackage/Manifest.json"
    module = "coremltools"
    packages = ("coremltools",)
    build_modules = ("torch",)
    precisions = ("fp32", "fp16")
    tolerances = {("fp32", "cpu"): 1e-4, ("fp16", "cpu"): 5e-3}
    profiles = ("ios",)
    systems = ("darwin", "ios")
    automatic = False
    xfail = {
        "check_export[picture]": "Core ML takes no bytes: pictures are prepared by the host",
        "check_export[scripted]": "only TorchScript captures a loop over a dynamic length",
    }
    runner = CoreMlRunner

    def available(self, *, build: bool = False) -> Availability:
        """Whether it is installed; elsewhere than on macOS it is not imported, for it complains of what it lacks."""
        if machine.system() in self.systems or importlib.util.find_spec(self.module) is None:
            return super().available(build=build)
        return Availability("ok")

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        exported, signature = graph.need_exported(self.name), graph.signature
        strange = sorted({spec.dtype for spec in (*signature.inputs, *signature.outputs)} - {*_TAKES})
        if strange:
            raise UnsupportedByTarget(f"coreml takes no tensors of {', '.join(strange)}", "leave this target out")
        with quiet(below=logging.ERROR, printed=True), redirected(None):
            model = _converted(exported, graph.name, half=options.precision == "fp16")
            spec, weights = model.get_spec(), Path(model.weights_dir) / "weight.bin"
            io = _checked(spec, signature, greatest(signature, options), graph.name)
            spec.description.metadata.userDefined.pop(_DATED, None)
            data = entry.with_name("Data")
            (data / _PLACE).mkdir(parents=True)
            write_file(data / _MODEL, spec.SerializeToString(deterministic=True))
            if weighted := weights.is_file():
                (data / _WEIGHTS).mkdir()
                write_file(data / _WEIGHTS / weights.name, weights.read_bytes())
        write_file(entry, _contents(_MODEL, _WEIGHTS) if weighted else _contents(_MODEL))
        note(f"graph {graph.name} in Core ML: {', '.join(_operators(spec))}")
        return io


def _converted(exported: ExportedProgram, graph: str, *, half: bool) -> Any:
    """Core ML's own model of a graph.

    Raises:
        UnsupportedByTarget: names the operator that Core ML does not have.
    """
    import coremltools as ct

    try:
        return ct.convert(
            exported.run_decompositions({}),
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            compute_units=ct.ComputeUnit.CPU_ONLY,
            minimum_deployment_target=ct.target.iOS17,
            skip_model_load=True,
        )
    except (NotImplementedError, ValueError, RuntimeError) as exc:
        said = first_line(exc, kind=False)
        if not re.search("not implemented|not supported|unsupported", said, re.IGNORECASE):
            raise
        raise UnsupportedByTarget(
            f"coreml cannot express graph '{graph}': {said}", "write the model without it, or use another target"
        ) from exc


def _checked(spec: Any, signature: Signature, most: Mapping[str, int], graph: str) -> dict[str, TensorIO]:
    """The io of a converted graph, whose tensors are held against the signature, and named after it where Core ML takes
    the name.

    Args:
        most: the greatest size of each free dimension, which becomes a bound of the program.

    Raises:
        UnsupportedByTarget: it has fewer inputs or outputs.
        ExportError: a tensor has another number of axes.
    """
    import coremltools as ct

    kinds = ct.proto.FeatureTypes_pb2.ArrayFeatureType.ArrayDataType
    told, shapes = spec.description, {}
    for one in (*signature.inputs, *signature.outputs):
        if {*one.free.values()} <= {*most}:
            shapes[one.name] = tuple(most[dim] if isinstance(dim, str) else dim for dim in one.shape)
    io = plain_io(signature, max_shapes=shapes)
    for specs, features in ((signature.inputs, told.input), (signature.outputs, told.output)):
        if len(specs) != len(features):
            raise UnsupportedByTarget(
                f"coreml keeps {len(features)} of the {len(specs)} tensors that graph '{graph}' takes or gives",
                "leave out inputs that nothing is made of, and outputs that are inputs, or use another target",
            )
    for one, feature in zip(signature.inputs, told.input, strict=True):
        array = feature.type.multiArrayType
        if len(array.shape) != len(one.shape):
            raise ExportError(f"coreml made '{one.name}' of graph '{graph}' another shape", "use another target")
        # its own bounds are those of the capture, which leave out a size of 1
        for axis, dim in one.free.items():
            size = array.shapeRange.sizeRanges[axis]
            size.lowerBound, size.upperBound = signature.dims[dim].min, most[dim]
    for one, feature in zip(signature.outputs, list(told.output), strict=True):
        if _NAME.fullmatch(one.name) and one.name not in {f.name for f in (*told.input, *told.output)}:
            ct.utils.rename_feature(spec, feature.name, one.name, rename_inputs=False)
    pairs = zip((*signature.inputs, *signature.outputs), (*told.input, *told.output), strict=True)
    return {
        one.name: msgspec.structs.replace(
            io[one.name], name=feature.name, dtype=_DTYPES[kinds.Name(feature.type.multiArrayType.dataType)]
        )
        for one, feature in pairs
    }


def _operators(spec: Any) -> list[str]:
    """Names of the operators of an ML program, sorted."""
    function = next(iter(spec.mlProgram.functions.values()))
    block = function.block_specializations[function.opset]
    return sorted({one.type for one in block.operations} - {"const"})


def _contents(*parts: str) -> bytes:
    """What a package says of its parts; coremltools draws other identifiers for them each time."""
    ids = {part: str(uuid.uuid5(uuid.NAMESPACE_URL, part)) for part in parts}
    items = {
        ids[part]: {"author": _PLACE, "description": what, "name": part.rpartition("/")[2], "path": part}
        for part, what in zip(parts, ("CoreML Model Specification", "CoreML Model Weights"), strict=False)
    }
    return msgspec.json.encode(
        {"fileFormatVersion": "1.0.0", "itemInfoEntries": items, "rootModelIdentifier": ids[_MODEL]}
    )
