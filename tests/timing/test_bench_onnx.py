"""A real runtime in the child: ONNX Runtime on a file made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from torchport.targets.base import plain_io
from torchport.timing import Job, measure
from torchport.types import Artifact, GraphFile, Signature, TensorSpec

onnx = pytest.importorskip("onnx")


@pytest.mark.usefixtures("timed")
def test_onnx_runtime_is_timed_with_the_threads_asked_for(tmp_path):
    weights = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 256])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 256])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9),
        str(tmp_path / "model.onnx"),
    )
    feed = tmp_path / "feed.safetensors"
    save_file({"x": np.ones((1, 256), np.float32)}, str(feed))
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 256)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 256)),),
    )
    files = GraphFile(entry="model.onnx", files=("model.onnx",), io=plain_io(signature))
    artifact = Artifact(target="onnx", recipe="fp32", precision="fp32", graphs={"model": files})
    jobs = [
        Job(
            id="onnx-fp32",
            target="onnx",
            artifact=artifact,
            folder=tmp_path,
            signature=signature,
            feed=feed,
            threads=threads,
        )
        for threads in (1, 2)
    ]
    found = measure(jobs, rounds=2, seconds=0.05)
    for (_, threads), one in found.items():
        assert one.error is None
        assert one.timing.median > 0
        assert one.used.library == "onnxruntime"
        assert one.used.threads == threads
