"""Every value inside an ONNX model, and the part of it between given values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...frontend.layers import Layer
from .part import Part

SCRIPT = '''\
"""Shows the divergence with ONNX Runtime alone: pip install onnxruntime safetensors."""

import numpy as np
import onnxruntime as ort
from safetensors.numpy import load_file

options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
session = ort.InferenceSession("part.onnx", options, providers=["CPUExecutionProvider"])
feed = load_file("inputs.safetensors")
got = session.run(["{output}"], {{one.name: feed[one.name] for one in session.get_inputs()}})[0]
wanted = load_file("expected.safetensors")["expected"].reshape(got.shape)
print("distance from the reference:", np.linalg.norm(got - wanted) / np.linalg.norm(wanted))
'''


def layers(path: Path, feed: Mapping[str, np.ndarray]) -> list[Layer]:
    """Run a model with every operator's output handed out.

    The runtime's own rewriting is off: it would fuse operators, whose values are then nowhere.

    Args:
        path: the model; nodes inside an operator's own subgraphs (loops, branches) are not handed out.
        feed: the model's inputs by its own names.
    """
    import onnx
    import onnxruntime as ort

    model = onnx.load(path)
    known = {one.name for one in (*model.graph.input, *model.graph.output)}
    weights = {one.name for one in model.graph.initializer}
    made = [(node, name) for node in model.graph.node for name in node.output if name]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for _, name in made if name not in known)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [name for _, name in made]
    values = dict(zip(names, session.run(names, dict(feed)), strict=True))
    return [
        Layer(
            name=name,
            op=node.op_type,
            inputs=tuple(one for one in node.input if one and one not in weights),
            value=np.asarray(values[name]),
            weights=tuple(one for one in node.input if one in weights),
        )
        for node, name in made
        if isinstance(values[name], np.ndarray)
    ]


def part(path: Path, inputs: Sequence[str], output: str, folder: Path) -> Part:
    """Write the operators between some values and one that follows from them, as `part.onnx`."""
    import onnx
    from onnx.utils import Extractor

    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    names = {one.name for one in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    model.graph.value_info.extend(onnx.ValueInfoProto(name=name) for name in (*inputs, output) if name not in names)
    made = Extractor(model).extract_model(list(inputs), [output])
    onnx.save(made, folder / "part.onnx")
    return Part(tuple(one.name for one in made.graph.input), SCRIPT.format(output=output))
