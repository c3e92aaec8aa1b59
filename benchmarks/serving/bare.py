"""What a server is held against: the same variant with nothing around it.

python bare.py loop BUNDLE KIND SECONDS     items a second of the model in a loop, by batch size
python bare.py granian BUNDLE PORT          granian that reads JSON, calls the model inline and replies: no checks,
                                            no batches, no metrics
python bare.py grpc BUNDLE PORT             a threaded gRPC server that does the same
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from torchport.predict import Predictor


def loop(bundle: str, kind: str, seconds: float) -> dict[str, tuple[float, float]]:
    """Items a second; `model` by batch size, `jpeg` decoding and preprocessing a photo before each."""
    with Predictor(bundle, threads=1) as predictor:
        pipeline = predictor.pipeline
        runner, spec = pipeline.runners["model"], pipeline.plan.signatures["model"].inputs[0]
        if kind != "model":
            photo = Path(kind).read_bytes()
            return {"1": rate(lambda: pipeline.answer(photo), 1, seconds)}
        shape = [size for size in spec.shape[1:] if isinstance(size, int)]
        found = {}
        for batch in (1, 4, 8):
            feed = {spec.name: np.random.default_rng(0).standard_normal((batch, *shape)).astype(spec.dtype)}
            found[str(batch)] = rate(lambda feed=feed: runner.run(feed), batch, seconds / 3)  # type: ignore[misc]
        return found


def rate(call: Any, items: int, seconds: float) -> tuple[float, float]:
    """Items a second, and microseconds of processor time an item, after two calls to warm up."""
    call(), call()
    count, began, spent = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        call()
        count += items
    return count / (time.perf_counter() - began), (time.process_time() - spent) / count * 1e6


def native(bundle: str) -> Any:
    """The runtime's own session of the Bundle's ONNX variant: feed and outputs by the runtime's names."""
    import onnxruntime

    from torchport.bundle import Bundle

    with Bundle(bundle) as opened:
        variant = next(one for one in opened.manifest.variants if one.artifact.target == "onnx")
        path = opened.variant_folder(variant, ["model"]) / variant.artifact.graphs["model"].entry
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def granian(bundle: str, port: int) -> None:
    """The bare HTTP server."""
    import msgspec
    from granian.constants import Interfaces
    from granian.server.embed import Server

    session = native(bundle)
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name

    async def app(scope: Any, protocol: Any) -> None:
        (tensor,) = msgspec.json.decode(await protocol())["inputs"]
        (answer,) = session.run(None, {name: np.asarray(tensor["data"], np.float32).reshape(tensor["shape"])})
        told = {"name": output, "datatype": "FP32", "shape": answer.shape, "data": answer.ravel().tolist()}
        body = msgspec.json.encode({"model_name": "bare", "outputs": [told]})
        protocol.response_bytes(200, [("content-type", "application/json")], body)

    asyncio.run(Server(app, "127.0.0.1", port, interface=Interfaces.RSGI, log_enabled=False).serve())  # type: ignore[arg-type]


def grpc_(bundle: str, port: int) -> None:
    """The bare gRPC server."""
    import grpc

    from torchport.serve.protocol import SERVICE, message

    session = native(bundle)
    name = session.get_inputs()[0].name
    response = message("ModelInferResponse")

    def infer(request: Any, context: Any) -> Any:
        shape = list(request.inputs[0].shape)
        feed = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(shape)
        (answer,) = session.run(None, {name: feed})
        made = response(model_name="bare")
        made.outputs.add(name="y", datatype="FP32", shape=answer.shape)
        made.raw_output_contents.append(answer.tobytes())
        return made

    handler = grpc.unary_unary_rpc_method_handler(
        infer, message("ModelInferRequest").FromString, response.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"ModelInfer": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    verb, where, *rest = sys.argv[1:]
    if verb == "loop":
        print(json.dumps(loop(where, rest[0], float(rest[1]))))
    else:
        {"granian": granian, "grpc": grpc_}[verb](where, int(rest[0]))
