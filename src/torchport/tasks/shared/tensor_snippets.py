"""Programs that answer named tensors, given as a JSON file, with a Bundle's ONNX model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from string import Template

from ...types import Artifact, Signature, TensorSpec
from . import onnx_files

_PYTHON = Template("""\
# pip install numpy onnxruntime. The input is a JSON file: $example
import json
import os
import sys
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else ONNX Runtime reports to its maker
import numpy as np
import onnxruntime

tensors = json.loads(Path(sys.argv[1]).read_text("utf-8"))
feed = {
$feed
}
model = onnxruntime.InferenceSession("$model")
answers = model.run([$outputs], feed)
print(json.dumps({name: answer.tolist() for name, answer in zip([$names], answers)}))
""")

_JAVASCRIPT = Template("""\
// npm install onnxruntime-node (in a browser: onnxruntime-web). The input is a JSON file: $example
import { readFileSync } from "node:fs";

process.env.ORT_DISABLE_TELEMETRY = "1"; // else ONNX Runtime reports to its maker
const ort = await import("onnxruntime-node");
const tensors = JSON.parse(readFileSync(process.argv[2], "utf8"));
const shape = (value) => (Array.isArray(value) ? [value.length, ...shape(value[0])] : []);
const tensor = (name, type) => new ort.Tensor(type, [tensors[name]].flat(Infinity), shape(tensors[name]));
const model = await ort.InferenceSession.create("$model");
const answers = await model.run({
$feed
});
const shown = ({ dims, data }) => ({ shape: dims, data: Array.from(data, Number) });
console.log(JSON.stringify({ $answers }));
""")

_DTYPES = frozenset(
    {"bool", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
)
"""What both numpy and JavaScript can hold."""


def programs(model: Signature, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    """See `Task.snippets`; empty where a tensor's dtype is beyond numpy or JavaScript."""
    files = onnx_files.find(artifacts)
    if files is None or {spec.dtype for spec in (*model.inputs, *model.outputs)} - _DTYPES:
        return {}
    inputs = [(files.name("model", spec.name), json.dumps(spec.name), spec.dtype) for spec in model.inputs]
    outputs = [(files.name("model", spec.name), json.dumps(spec.name)) for spec in model.outputs]
    known = {"model": files.paths["model"], "example": _example(model.inputs)}
    return {
        "python": _PYTHON.substitute(
            known,
            feed="\n".join(f'    {name}: np.asarray(tensors[{own}], "{dtype}"),' for name, own, dtype in inputs),
            outputs=", ".join(name for name, _ in outputs),
            names=", ".join(own for _, own in outputs),
        ),
        "javascript": _JAVASCRIPT.substitute(
            known,
            feed="\n".join(f'  {name}: tensor({own}, "{dtype}"),' for name, own, dtype in inputs),
            answers=", ".join(f"{own}: shown(answers[{name}])" for name, own in outputs),
        ),
    }


def _example(inputs: Sequence[TensorSpec]) -> str:
    return (
        "{"
        + ", ".join(f"{json.dumps(spec.name)}: {'[' * len(spec.shape)}...{']' * len(spec.shape)}" for spec in inputs)
        + "}"
    )
