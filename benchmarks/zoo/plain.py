"""The exporters as their documentation calls them, with a free batch where they can say so: what the zoo's table has
beside torchport's own cells.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from held import FAR, Feed, gap
from torch import nn

from torchport.errors import TorchportError, first_line
from torchport.frontend.inputs import InputSpecs
from torchport.frontend.program import flatten_outputs
from torchport.system import isolate

LIMIT_S = 180.0

Answer = Callable[[Feed], list[np.ndarray]]
Exporter = Callable[[nn.Module, tuple[torch.Tensor, ...], InputSpecs, Path], Answer | None]
"""What is made answers here, or is None where it is converted only."""


def _shapes(specs: InputSpecs) -> Any:
    from torch.export import Dim

    return tuple(dict.fromkeys(specs.dims[spec.name], Dim.AUTO) for spec in specs.tensors)


def _exported(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs) -> torch.export.ExportedProgram:
    return torch.export.export(module, args, dynamic_shapes=_shapes(specs))


def _arrays(found: Any) -> list[np.ndarray]:
    return [tensor.detach().numpy() for tensor in flatten_outputs(found).values()]


def _tensors(feed: Feed) -> list[torch.Tensor]:
    return [torch.tensor(array) for array in feed.values()]


def _onnx(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> Answer:
    import onnxruntime

    path = folder / "plain.onnx"
    torch.onnx.export(module, args, str(path), dynamo=True, dynamic_shapes=_shapes(specs))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return lambda feed: session.run(None, {k: v for k, v in zip(names, feed.values(), strict=False)})  # noqa: C416


def _pt2(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> Answer:
    path = folder / "plain.pt2"
    torch.export.save(_exported(module, args, specs), path)
    program = torch.export.load(path).module()
    return lambda feed: _arrays(program(*_tensors(feed)))


def _torchscript(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> Answer:
    path = folder / "plain.pt"
    torch.jit.trace(module, args, strict=False).save(str(path))
    program = torch.jit.load(str(path))
    return lambda feed: _arrays(program(*_tensors(feed)))


def _mobile(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> Answer:
    from torch.jit.mobile import _load_for_lite_interpreter

    path = folder / "plain.ptl"  # `optimize_for_mobile` needs XNNPACK, which wheels of PyTorch are built without
    torch.jit.trace(module, args, strict=False)._save_for_lite_interpreter(str(path))
    program = _load_for_lite_interpreter(str(path))
    return lambda feed: _arrays(program(*_tensors(feed)))


def _openvino(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> Answer:
    import openvino

    compiled = openvino.compile_model(
        openvino.convert_model(module, example_input=args), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return lambda feed: [value for value in compiled(list(feed.values())).values()]  # noqa: C416


def _executorch(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> Answer:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    lowered = to_edge_transform_and_lower(_exported(module, args, specs), partitioner=[XnnpackPartitioner()])
    held = io.BytesIO()
    lowered.to_executorch().write_to_file(held)
    method = Runtime.get().load_program(held.getvalue()).load_method("forward")
    assert method is not None
    return lambda feed: _arrays(method.execute(_tensors(feed)))


def _aotinductor(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> Answer:
    from torch._inductor import aoti_compile_and_package, aoti_load_package

    path = aoti_compile_and_package(_exported(module, args, specs), package_path=str(folder / "plain.pt2"))
    program = aoti_load_package(path)
    return lambda feed: _arrays(program(*_tensors(feed)))


def _litert(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> Answer:
    import litert_torch

    made = litert_torch.convert(module, args)

    def run(feed: Feed) -> list[np.ndarray]:
        found = made(*feed.values())
        return [*found.values()] if isinstance(found, dict) else [*found] if isinstance(found, tuple) else [found]

    return run


def _mnn(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> Answer:
    import _tools
    import MNN
    import onnx

    _onnx(module, args, specs, folder)
    source, path = folder / "plain.onnx", folder / "plain.mnn"
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(path)])
    model = onnx.load(source, load_external_data=False).graph
    net = MNN.nn.load_module_from_file(str(path), [i.name for i in model.input], [o.name for o in model.output])
    kinds = {"f": MNN.expr.float, "i": MNN.expr.int, "b": MNN.expr.int}

    def given(array: np.ndarray) -> Any:
        narrow = array if array.dtype.kind == "f" else array.astype(np.int32)
        return MNN.expr.const(narrow, list(narrow.shape), MNN.expr.NCHW, kinds[array.dtype.kind])

    return lambda feed: [np.array(one.read()) for one in net.forward([given(array) for array in feed.values()])]


def _ncnn(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> Answer:
    import ncnn
    import pnnx

    pnnx.export(module, str(folder / "plain.pt"), tuple(one[:1] for one in args))
    net = ncnn.Net()
    net.opt.num_threads = 1  # it would wait for threads that do not survive a fork
    if net.load_param(str(folder / "plain.ncnn.param")) or net.load_model(str(folder / "plain.ncnn.bin")):
        raise RuntimeError("ncnn does not load what pnnx made")

    def run(feed: Feed) -> list[np.ndarray]:  # item by item, for it has no batches
        rows = []
        for number in range(len(next(iter(feed.values())))):
            call = net.create_extractor()
            for name, array in zip(net.input_names(), feed.values(), strict=True):
                call.input(name, ncnn.Mat(np.ascontiguousarray(array[number])).clone())
            rows.append([np.array(call.extract(name)[1]) for name in net.output_names()])
        return [np.stack(one) for one in zip(*rows, strict=True)]

    return run


def _coreml(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> None:
    import coremltools

    coremltools.convert(_exported(module, args, specs).run_decompositions({}), skip_model_load=True)


def _coreai(module: nn.Module, args: tuple[torch.Tensor, ...], specs: InputSpecs, folder: Path) -> None:
    from coreai_torch import TorchConverter, get_decomp_table

    program = _exported(module, args, specs).run_decompositions(get_decomp_table())
    TorchConverter().add_exported_program(program).to_coreai().save_asset(folder / "plain.aimodel")


EXPORTERS: Mapping[str, Exporter] = {
    "onnx": _onnx,
    "pt2": _pt2,
    "torchscript": _torchscript,
    "openvino": _openvino,
    "executorch": _executorch,
    "mobile": _mobile,
    "aotinductor": _aotinductor,
    "litert": _litert,
    "mnn": _mnn,
    "ncnn": _ncnn,
    "coreml": _coreml,
    "coreai": _coreai,
}


def plain(
    target: str,
    module: nn.Module,
    specs: InputSpecs,
    example: Feed,
    answered: list[tuple[str, Feed, Feed | None]],
    folder: Path,
) -> str:
    """`ok`, or what went wrong, in a line."""
    try:
        return isolate.call(
            _tried, target, module, specs, example, answered, folder, log=folder / "log", limit_s=LIMIT_S, what="it"
        )
    except TorchportError as exc:
        return f"failed: {exc.message}"[:200]


def _said(exc: Exception, folder: Path) -> str:
    """An exporter's own words, without the place that it was given to write in."""
    return first_line(exc).replace(f"{folder}/", "")


def _tried(
    target: str,
    module: nn.Module,
    specs: InputSpecs,
    example: Feed,
    answered: list[tuple[str, Feed, Feed | None]],
    folder: Path,
) -> str:
    try:
        with torch.no_grad():
            run = EXPORTERS[target](module, tuple(_tensors(example)), specs, folder)
    except Exception as exc:  # whatever an exporter raises is what the table says
        return f"failed: {_said(exc, folder)}"[:200]
    for what, feed, reference in answered if run else ():
        if reference is None:
            continue
        try:
            with torch.no_grad():
                found = run(feed)
        except Exception as exc:  # the runtime's own words
            return f"failed at {what}: {_said(exc, folder)}"[:200]
        wanted = list(reference.values())
        worst = max((gap(a, np.asarray(b)) for a, b in zip(wanted, found, strict=False)), default=np.inf)
        if len(found) < len(wanted) or not worst <= FAR:
            return f"wrong at {what}: {worst:.1%} off"
    return "ok"
