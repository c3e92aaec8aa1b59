"""ncnn: phones, on their CPUs.

Converted by pnnx from TorchScript. ncnn has no batch axis, so that an artefact takes one item a call. Both programs
turn to half floats unless told not to: pnnx for the weights, ncnn for arithmetic.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..errors import ExportError, RunError, UnsupportedByTarget
from ..feed import is_batched
from ..system.disk import temporary
from ..types import Signature, TensorIO, TensorSpec, Used
from .base import Arrays, ExportOptions, Target, plain_io
from .shared.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from ..frontend.program import GraphProgram
    from ..types import GraphFile

_DTYPES = {"float32": ("float32", "f32"), "int64": ("int32", "i64"), "int32": ("int32", "i32")}
"""The signature's dtype -> ncnn's, and pnnx's name of it."""

_HALVES = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage")
_MOST_AXES = 4
_UNKNOWN = re.compile(r"^((?:aten|prim|torch|nn|F|Tensor|pnnx|torchvision)[.:]\S*)\s", re.MULTILINE)


class NcnnRunner(Runner):
    """A net of ncnn on the CPU, one item a call; tensors go by name."""

    def _open(self, path: Path) -> None:
        import ncnn

        self._need_cpu()
        net, threads = ncnn.Net(), self.threads or 1
        net.opt.use_vulkan_compute, net.opt.num_threads = False, threads
        for name in _HALVES:
            setattr(net.opt, name, False)
        if net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
            raise RunError("ncnn does not take the file", "it was made by another version, or is damaged")
        self._net: Any = net
        self._mat = ncnn.Mat
        self.used = Used(library="ncnn", version=ncnn.__version__, provider="cpu", precision="fp32", threads=threads)

    def _run(self, feed: Arrays) -> Arrays:
        call = self._net.create_extractor()
        for name, array in feed.items():
            # its own memory: a layer that writes in place over an array's reads a count that such a Mat does not have
            call.input(name, self._mat(array).clone())
        answer = {}
        for spec in self.signature.outputs:
            io = self.graph.io[spec.name]
            failed, mat = call.extract(io.name)
            if failed:
                raise RunError(f"ncnn stopped on the way to output '{spec.name}'", "use another variant")
            answer[io.name] = _shaped(np.array(mat), spec)
        return answer

    def _close(self) -> None:
        self._net = None


def _shaped(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """What ncnn answers in the shape of the signature: it drops axes of one."""
    wanted = spec.shape[1:]
    if array.ndim == len(wanted):
        return array
    free = [axis for axis, size in enumerate(wanted) if not isinstance(size, int)]
    return array.reshape([size if isinstance(size, int) else -1 for size in wanted]) if len(free) < 2 else array


class Ncnn(Target):
    """One `.param` and one `.bin` a graph, in fp32."""

    name = "ncnn"
    suffix = "param"
    module = "ncnn"
    packages = ("ncnn",)
    build_modules = ("torch", "pnnx")
    profiles = ("python", "server", "android", "ios")
    xfail = {
        "check_export[embedding]": "ncnn has no booleans",
        "check_export[dict_outputs]": "ncnn has no booleans",
        "check_export[picture]": "a graph without a batch axis is left to the host",
        "check_export[scripted]": "a graph without a batch axis is left to the host",
    }
    runner = NcnnRunner

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        import torch

        from ..frontend.program import answering_tuple
        from ..frontend.script import quiet_jit

        io = _io(graph.signature, graph.name)
        feeds = _feeds(graph)
        args = [tuple(torch.tensor(feed[spec.name]) for spec in graph.signature.inputs) for feed in feeds]
        with temporary() as folder:
            source = folder / "model.pt"
            with quiet_jit(), torch.no_grad():
                module = answering_tuple(graph, graph.callable()).eval()
                traced = torch.jit.trace(module, args[0], check_trace=False)  # type: ignore[no-untyped-call]
                traced.save(str(source))
            _pnnx(source, [_shapes(one) for one in args], graph.name)
            text = (folder / "model.ncnn.param").read_text(encoding="utf-8")
            if unknown := sorted(set(_UNKNOWN.findall(text))):
                raise UnsupportedByTarget(
                    f"ncnn has no {', '.join(unknown)}, which graph '{graph.name}' needs",
                    "write the model without it, or use another target",
                )
            entry.write_text(text, encoding="utf-8")
            entry.with_suffix(".bin").write_bytes((folder / "model.ncnn.bin").read_bytes())
        return io


def _io(signature: Signature, graph: str) -> dict[str, TensorIO]:
    """How the tensors are spelled.

    Raises:
        UnsupportedByTarget: one has no batch axis to drop, too many axes, or a dtype that ncnn does not have.
    """
    for spec in (*signature.inputs, *signature.outputs):
        if not is_batched(spec):
            raise UnsupportedByTarget(
                f"ncnn takes single items, and '{spec.name}' of graph '{graph}' has no batch axis", "leave it out"
            )
        if len(spec.shape) > _MOST_AXES + 1:
            raise UnsupportedByTarget(f"ncnn has at most 4 axes an item, '{spec.name}' has more", "leave it out")
    strange = sorted({spec.dtype for spec in (*signature.inputs, *signature.outputs)} - set(_DTYPES))
    strange += sorted(
        {f"{spec.dtype} as outputs" for spec in signature.outputs if spec.dtype != "float32"} - {*strange}
    )
    if strange:
        raise UnsupportedByTarget(f"ncnn has no tensors of {', '.join(strange)}", "use another target")
    names = {spec.name: f"in{number}" for number, spec in enumerate(signature.inputs)}
    names |= {spec.name: f"out{number}" for number, spec in enumerate(signature.outputs)}
    io = plain_io(signature, names=names, narrower={wide: narrow for wide, (narrow, _) in _DTYPES.items()})
    return {name: msgspec.structs.replace(one, batch="dropped") for name, one in io.items()}


def _feeds(graph: GraphProgram) -> list[Mapping[str, np.ndarray]]:
    """One item at the example's sizes, and where sizes are free one of other sizes: pnnx keeps free what differs."""
    from ..frontend.dynamic import resized

    signature = graph.signature
    one = {name: array[:1] for name, array in graph.examples.items()}
    dims = {
        spec.name: {axis: size for axis, size in enumerate(spec.shape) if isinstance(size, str) and axis}
        for spec in signature.inputs
    }
    other, changed = dict(one), False
    for name in sorted({name for axes in dims.values() for name in axes.values()}):
        bound = signature.dims.get(name)
        size = next(
            int(one[key].shape[axis]) for key, axes in dims.items() for axis, free in axes.items() if free == name
        )
        step = bound.multiple if bound else 1
        wanted = size + step if bound is None or bound.holds(size + step) else size - step
        if wanted > 0:
            other, changed = dict(resized(other, dims, name, wanted)), True
    return [one, other] if changed else [one]


def _shapes(args: tuple[torch.Tensor, ...]) -> str:
    kinds = {f"torch.{name}": kind for name, (_, kind) in _DTYPES.items()}
    return ",".join(f"[{','.join(map(str, one.shape))}]{kinds[str(one.dtype)]}" for one in args)


def _pnnx(source: Path, shapes: list[str], graph: str) -> None:
    """Run pnnx beside the source; it writes a dozen files there.

    Raises:
        ExportError: it failed.
    """
    import pnnx

    program = Path(pnnx.__file__).parent / "pnnx"
    words = [f"inputshape={shapes[0]}", *(f"inputshape2={one}" for one in shapes[1:]), "fp16=0"]
    done = subprocess.run(
        [program, source.name, *words], cwd=source.parent, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode or not source.with_name("model.ncnn.param").is_file():
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ExportError(
            f"pnnx could not convert graph '{graph}' (exit {done.returncode}): {said[-1][:200] if said else ''}",
            "see the log, or leave this target out",
        )
