"""Calls over gRPC; imported only where its library is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from ..serve.protocol import METHODS, SERVICE, message
from .tensors import Model, Tensor, read
from .verdicts import Differs, NotOffered, expect

TYPED = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype -> field of the typed contents."""

COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


class Grpc:
    """A server's service by its address, HOST:PORT."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self.address, self._timeout_s = address.partition("://")[2] or address, timeout_s
        most = (1 << 31) - 1
        options = [("grpc.max_send_message_length", most), ("grpc.max_receive_message_length", most)]
        self._channel = grpc.insecure_channel(self.address, options)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def call(self, method: str, /, *, compression: str = "", **fields: Any) -> Any:
        """The response of a method; raises NotOffered where it is not implemented, Differs where it fails."""
        return self.send(method, message(METHODS[method].input_type.name)(**fields), compression)

    def send(self, method: str, request: Any, compression: str = "") -> Any:
        """As `call`, of a request that is made."""
        try:
            return self._unary(method, request, compression)
        except grpc.RpcError as exc:
            code, said = exc.code().name, str(exc.details())[:160]
            if code == "UNIMPLEMENTED":
                raise NotOffered(f"{method} is not implemented: {said}") from exc
            raise Differs(f"{method} fails with {code}: {said}") from exc

    def refused(self, method: str, request: Any, *codes: str) -> str:
        """The words of a refusal with one of these codes; raises Differs, and NotOffered where it is not
        implemented.
        """
        try:
            self._unary(method, request)
        except grpc.RpcError as exc:
            code, said = exc.code().name, str(exc.details())[:160]
            if code == "UNIMPLEMENTED" and code not in codes:
                raise NotOffered(f"{method} is not implemented") from exc
            expect(code in codes, f"{method} answers {code} instead of {' or '.join(codes)}: {said}")
            return said
        raise Differs(f"{method} answers as if nothing were wrong")

    def stream(self, requests: Sequence[Any]) -> list[Any]:
        """The answers to requests of one stream, as many as come; raises Differs where it ends with an error."""
        method = METHODS["ModelStreamInfer"]
        kinds = message(method.input_type.name), message(method.output_type.name)
        run = self._channel.stream_stream(f"/{SERVICE}/{method.name}", kinds[0].SerializeToString, kinds[1].FromString)
        try:
            return list(run(iter(requests), timeout=self._timeout_s))
        except grpc.RpcError as exc:
            if exc.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise NotOffered("ModelStreamInfer is not implemented") from exc
            raise Differs(f"the stream ends with {exc.code().name}: {str(exc.details())[:160]}") from exc

    def health(self, service: str = "") -> bytes:
        """The raw response of gRPC's own health check; raises NotOffered where there is none."""
        run = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        asked = bytes((10, len(service))) + service.encode() if service else b""
        try:
            found: bytes = run(asked, timeout=self._timeout_s)
        except grpc.RpcError as exc:
            if exc.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise NotOffered("grpc.health.v1 is not implemented") from exc
            raise Differs(f"Health/Check fails with {exc.code().name}") from exc
        return found

    def make(self, name: str, /, **fields: Any) -> Any:
        """A message of the protocol."""
        return message(name)(**fields)

    def infer(self, model: Model, tensors: Sequence[Tensor], **words: Any) -> tuple[Any, dict[str, Tensor]]:
        """The response and the outputs of one inference; see `request` for the words."""
        compression = words.pop("compression", "")
        response = self.send("ModelInfer", self.request(model, tensors, **words), compression)
        return response, outputs_of(response, model)

    def request(self, model: Model, tensors: Sequence[Tensor], *, typed: bool = False, **fields: Any) -> Any:
        """A request with its tensors as raw bytes, or as typed contents; raises NotOffered where they have none."""
        made = message("ModelInferRequest")(model_name=model.name, **fields)
        for one in tensors:
            given = made.inputs.add(name=one.name, datatype=one.datatype, shape=one.array.shape)
            if not typed:
                made.raw_input_contents.append(one.content)
            elif one.datatype in TYPED:
                getattr(given.contents, TYPED[one.datatype]).extend(one.array.ravel().tolist())
            else:
                raise NotOffered(f"'{one.name}' is {one.datatype}, which has no typed contents")
        return made

    def outputs(self, response: Any, model: Model) -> dict[str, Tensor]:
        """The outputs of a response, from raw_output_contents alone; raises Differs."""
        return outputs_of(response, model)

    def _unary(self, method: str, request: Any, compression: str = "") -> Any:
        response = message(METHODS[method].output_type.name)
        run = self._channel.unary_unary(f"/{SERVICE}/{method}", type(request).SerializeToString, response.FromString)
        return run(request, timeout=self._timeout_s, compression=COMPRESSIONS.get(compression))


def outputs_of(response: Any, model: Model) -> dict[str, Tensor]:
    """The outputs of a response, from raw_output_contents alone; raises Differs."""
    expect(response.model_name == model.name, f"model_name is '{response.model_name}'")
    raws, outputs = response.raw_output_contents, response.outputs
    expect(len(raws) == len(outputs), f"there are {len(outputs)} outputs and {len(raws)} raw_output_contents")
    return {
        one.name: read(one.name, one.datatype, list(one.shape), raw) for one, raw in zip(outputs, raws, strict=True)
    }
