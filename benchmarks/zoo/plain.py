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
Exporter = Callable[[nn.Module, tuple[torch.Tensor, ...], InputSpecs, Path], Answer]


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


EXPORTERS: Mapping[str, Exporter] = {
    "onnx": _onnx,
    "pt2": _pt2,
    "torchscript": _torchscript,
    "openvino": _openvino,
    "executorch": _executorch,
    "mobile": _mobile,
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
        return f"failed: {first_line(exc)}"[:200]
    for what, feed, reference in answered:
        if reference is None:
            continue
        try:
            with torch.no_grad():
                found = run(feed)
        except Exception as exc:  # the runtime's own words
            return f"failed at {what}: {first_line(exc)}"[:200]
        wanted = list(reference.values())
        worst = max((gap(a, np.asarray(b)) for a, b in zip(wanted, found, strict=False)), default=np.inf)
        if len(found) < len(wanted) or not worst <= FAR:
            return f"wrong at {what}: {worst:.1%} off"
    return "ok"
