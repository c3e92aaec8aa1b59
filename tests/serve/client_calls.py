"""What unmodified clients see of a server: run by the Python of the clients' own environment, prints JSON.

python client_calls.py KIND HTTP_PORT GRPC_PORT
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
from typing import Any

import numpy as np

KIND, HTTP, GRPC = sys.argv[1], f"127.0.0.1:{sys.argv[2]}", f"127.0.0.1:{sys.argv[3]}"
A, B = np.arange(32, dtype=np.int32).reshape(2, 16), np.full((2, 16), 7, np.int32)


async def done(value: Any) -> Any:
    """What a client answers at once, or later."""
    return await value if inspect.isawaitable(value) else value


def row(message: Any) -> Any:
    """A message of gRPC as JSON has it."""
    from google.protobuf import json_format

    return (
        message
        if isinstance(message, dict | list)
        else json_format.MessageToDict(message, preserving_proto_field_name=True)
    )


def tensors(kit: Any, **arrays: np.ndarray) -> list[Any]:
    names = {"int32": "INT32", "float32": "FP32", "int64": "INT64", "uint8": "UINT8", "bool": "BOOL", "object": "BYTES"}
    made = []
    for name, array in arrays.items():
        one = kit.InferInput(name, list(array.shape), names[array.dtype.name])
        one.set_data_from_numpy(array)
        made.append(one)
    return made


async def triton(kind: str) -> dict[str, Any]:
    """Every method of a Triton client."""
    kit = importlib.import_module(f"tritonclient.{kind}")
    client = kit.InferenceServerClient(HTTP if kind.startswith("http") else GRPC)
    told = await about(client) | await answers(kit, client) | await compressed(kit, client, kind)
    if kind == "grpc":
        told["stream"] = streamed(kit, client)
    told |= await loading(client)
    await done(client.close())
    return told


async def about(client: Any) -> dict[str, Any]:
    """Health, metadata, settings."""
    told: dict[str, Any] = {}
    told["live"] = await done(client.is_server_live())
    told["ready"] = await done(client.is_server_ready())
    told["model_ready"] = await done(client.is_model_ready("simple"))
    told["absent_ready"] = await absent(client)
    told["server"] = row(await done(client.get_server_metadata()))
    told["model"] = row(await done(client.get_model_metadata("simple")))
    told["config"] = row(await done(client.get_model_config("simple")))
    told["index"] = row(await done(client.get_model_repository_index()))
    told["logging"] = row(await done(client.get_log_settings()))
    told["verbose"] = row(await done(client.update_log_settings({"log_verbose_level": 1})))
    told["trace"] = row(await done(client.get_trace_settings()))
    told["memory"] = row(await done(client.get_system_shared_memory_status()))
    await done(client.unregister_system_shared_memory())
    return told


async def answers(kit: Any, client: Any) -> dict[str, Any]:
    """Inference: all outputs and some, every datatype, classes, a picture, errors."""
    told: dict[str, Any] = {}
    answer = await done(client.infer("simple", tensors(kit, INPUT0=A, INPUT1=B), request_id="one"))
    told["sum"], told["difference"] = answer.as_numpy("OUTPUT0").tolist(), answer.as_numpy("OUTPUT1").tolist()
    response = row(answer.get_response())
    told["id"], told["model_name"] = response["id"], response["model_name"]
    asked = [kit.InferRequestedOutput("OUTPUT1")]
    answer = await done(client.infer("simple", tensors(kit, INPUT0=A, INPUT1=B), model_version="1", outputs=asked))
    told["only"] = [answer.as_numpy("OUTPUT1").tolist(), answer.as_numpy("OUTPUT0") is None]

    kinds = {"fp32": np.float32([[0.5, -1]]), "int64": np.int64([[2**60, -5]]), "uint8": np.uint8([[255, 0]])}
    answer = await done(client.infer("identity", tensors(kit, **kinds, flag=np.array([[True, False]]))))
    told["kinds"] = {name: np.array_equal(answer.as_numpy(f"o_{name}"), array) for name, array in kinds.items()}
    told["flag"] = answer.as_numpy("o_flag").tolist()

    pixels = np.zeros((1, 3, 16, 16), np.float32)
    pixels[0, 1] = 1
    classes = [kit.InferRequestedOutput("output_0", class_count=1)]
    answer = await done(client.infer("colours", tensors(kit, pixels=pixels), outputs=classes))
    told["class"] = answer.as_numpy("output_0").ravel()[0].decode()
    answer = await done(client.infer("colours-raw", tensors(kit, raw=np.array([picture()], object))))
    told["label"] = answer.as_numpy("labels").ravel()[0].decode()

    wrong = (
        ("nobody", tensors(kit, INPUT0=A, INPUT1=B)),
        ("simple", tensors(kit, INPUT0=A)),
        ("simple", tensors(kit, INPUT0=A, INPUT1=B.astype(np.int64))),
    )
    told["errors"] = [await error(client.infer, *call) for call in wrong]
    told["statistics"] = row(await done(client.get_inference_statistics("simple")))
    return told


async def compressed(kit: Any, client: Any, kind: str) -> dict[str, Any]:
    """The same answer through each compression."""
    told = {}
    for how in ("gzip", "deflate"):
        names = ("request_compression_algorithm", "response_compression_algorithm")
        extra = dict.fromkeys(names if kind.startswith("http") else ("compression_algorithm",), how)
        answer = await done(client.infer("simple", tensors(kit, INPUT0=A, INPUT1=B), **extra))
        told[how] = answer.as_numpy("OUTPUT0").tolist()
    return told


async def loading(client: Any) -> dict[str, Any]:
    """A model unloaded and loaded again."""
    await done(client.unload_model("identity"))
    unloaded = await done(client.is_model_ready("identity"))
    await done(client.load_model("identity"))
    return {"unloaded": unloaded, "loaded": await done(client.is_model_ready("identity"))}


async def absent(client: Any) -> Any:
    """What a client says of a model that there is not: false, or an error."""
    try:
        return await done(client.is_model_ready("nobody"))
    except Exception as exc:
        return type(exc).__name__


async def error(call: Any, *words: Any) -> str:
    try:
        await done(call(*words))
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
    return "none"


def streamed(kit: Any, client: Any) -> list[Any]:
    """Three requests on one stream, of which the second is none."""
    import queue

    heard: queue.Queue[Any] = queue.Queue()
    client.start_stream(callback=lambda result, error: heard.put((result, error)))
    for model in ("simple", "nobody", "simple"):
        client.async_stream_infer(model, tensors(kit, INPUT0=A, INPUT1=B))
    found = [heard.get(timeout=20) for _ in range(3)]
    client.stop_stream()
    return [str(failed) if failed else result.as_numpy("OUTPUT0").tolist() for result, failed in found]


def picture() -> bytes:
    """A PNG of one blue pixel block, made by hand so that the clients need no library of pictures."""
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + b"\x00\x00\xff" * 8 for _ in range(8))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def kserve() -> dict[str, Any]:
    """KServe's clients of REST and gRPC."""
    from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

    def asked(binary: bool) -> Any:
        made = []
        for name, array in (("INPUT0", A), ("INPUT1", B)):
            one = InferInput(name=name, shape=list(array.shape), datatype="INT32")
            one.set_data_from_numpy(array, binary_data=binary)
            made.append(one)
        return InferRequest(model_name="simple", infer_inputs=made, parameters={"binary_data_output": binary})

    told: dict[str, Any] = {}
    base = f"http://{HTTP}"
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    told["live"], told["ready"] = await rest.is_server_live(base), await rest.is_server_ready(base)
    told["model_ready"] = await rest.is_model_ready(base, "simple")
    for binary in (False, True):
        answer = await rest.infer(base, asked(binary), model_name="simple")
        told[f"sum_{binary}"] = answer.outputs[0].as_numpy().reshape(2, 16).tolist()
    grpc = InferenceGRPCClient(GRPC)
    told["grpc_live"], told["grpc_ready"] = await grpc.is_server_live(), await grpc.is_server_ready()
    told["grpc_model_ready"] = await grpc.is_model_ready("simple")
    answer = await grpc.infer(asked(True))
    told["grpc_sum"] = answer.outputs[0].as_numpy().reshape(2, 16).tolist()
    return told


print(json.dumps(asyncio.run(kserve() if KIND == "kserve" else triton(KIND)), default=str))
