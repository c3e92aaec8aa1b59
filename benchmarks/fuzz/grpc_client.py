"""The same over gRPC: messages with other values, and bytes that are no message."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import grpc
from client import LIMIT_S, Ended
from valid import strange

from torchport.serve.protocol import METHODS, SERVICE, message

UNARY = [name for name in METHODS if name != "ModelStreamInfer"]
RIGHT = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "UNIMPLEMENTED",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
}


def request(random: Random) -> bytes:
    """An inference request, changed."""
    made = message("ModelInferRequest")(
        model_name=random.choice(("simple", "simple", "identity", "colours-raw", "x", "../x"))
    )
    for name in random.choice((("INPUT0", "INPUT1"), ("INPUT0",), ("raw",), ("INPUT0", "INPUT0"), ())):
        kind = random.choice(("INT32", "INT32", "INT64", "FP16", "BF16", "BYTES", "BOOL", "", "x"))
        shape = random.choice(([1, 16], [1, 16], [2, 8], [-1, 16], [1 << 62, 1 << 62], [], [1] * 40, [0, 16]))
        given = made.inputs.add(name=name, datatype=kind, shape=shape)
        match random.randrange(4):
            case 0:
                given.contents.int_contents.extend([1 << 30] * random.choice((0, 15, 16)))
            case 1:
                given.contents.bytes_contents.extend([b"x"] * random.choice((1, 16)))
            case _:
                made.raw_input_contents.append(random.randbytes(random.choice((64, 64, 63, 0, 128))))
        if random.random() < 0.1:
            given.parameters["shared_memory_region"].string_param = "x"
            given.parameters["shared_memory_byte_size"].int64_param = random.choice((-1, 8, 1 << 62))
    if random.random() < 0.3:
        for _ in range(random.choice((1, 2, 5000))):
            made.outputs.add(name=random.choice(("OUTPUT0", "x"))).parameters["classification"].int64_param = -1
    if random.random() < 0.2:
        value = strange(random)
        made.parameters["timeout" if random.random() < 0.5 else "priority"].string_param = (
            str(value)[:50].encode("utf-8", "ignore").decode()
        )
    return _bytes_changed(random, made.SerializeToString())


def _bytes_changed(random: Random, content: bytes) -> bytes:
    if random.random() < 0.3 and content:
        place = random.randrange(len(content))
        return content[:place] + random.randbytes(random.choice((0, 1, 3))) + content[place + random.randrange(3) :]
    return content


class GrpcClient:
    """One channel."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])

    def send(self, random: Random) -> Ended:
        """Send one message, and judge the status."""
        method, content = "ModelInfer", b""
        if random.random() < 0.8:
            content = request(random)
        else:
            method = random.choice(UNARY)
            content = random.choice((b"", random.randbytes(20), b"\x0a\x06nobody", b"\x12\x06nobody"))
            if "Repository" in method and random.random() < 0.5:
                content = b"\x12\x04\xff\xfe\x00\x01"
        began = time.perf_counter()
        status, wrong = 200, ""
        try:
            run: Any = self._channel.unary_unary(f"/{SERVICE}/{method}")
            run(content, timeout=LIMIT_S)
        except grpc.RpcError as exc:
            code, said = exc.code().name, str(exc.details())
            status = 400
            if code not in RIGHT:
                wrong = f"{method} answers {code}: {said[:200]} to {content[:60].hex()}"
            elif not said or "Traceback" in said:
                wrong = f"{method} answers {code} without words, or with too many: {said[:200]}"
        return Ended("gRPC", status, wrong, time.perf_counter() - began)

    def close(self) -> None:
        """End the channel."""
        self._channel.close()
