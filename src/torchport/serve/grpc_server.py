"""The protocol over gRPC. Its threads wait for the models' answers themselves, which costs less than a coroutine for
each: see docs/decisions/0025-threads-for-grpc-none-for-small-models.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ..errors import OutputError
from . import grpc_codec as codec
from .app import App, refusal
from .guard import Guard
from .messages import Refused
from .model_config import config
from .place import Place, Tls
from .protocol import METHODS, POOL, SERVICE, message
from .server_settings import trace

THREADS = 32
"""Calls that are answered side by side; further ones wait their turn in gRPC's own queue."""

WAITING = 1024
"""Calls under way or waiting, beyond which gRPC refuses with RESOURCE_EXHAUSTED."""

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""HTTP status of a refusal -> gRPC's; everything else is INTERNAL."""


class GrpcServer:
    """The service on a port of its own; it listens once it is made.

    Raises:
        OutputError: the port is taken.
    """

    def __init__(self, app: App, place: Place, guard: Guard) -> None:
        most = app.settings.most_bytes
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS, thread_name_prefix="grpc"),
            options=[
                ("grpc.max_receive_message_length", most),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=WAITING,
            interceptors=() if guard.idle else (_Guarded(guard),),
        )
        self._health = _Health(app)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        service = Service(app)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers(service)),))
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, pool=_Pools())
        address = f"[{place.host}]:{place.grpc_port}" if ":" in place.host else f"{place.host}:{place.grpc_port}"
        try:
            bound = self._listen(address, place.tls)
        except RuntimeError:
            bound = 0
        if not bound:
            raise OutputError(f"{address} cannot be served: it is taken, or not of this machine", "see --grpc-port")
        self._server.start()

    def _listen(self, address: str, tls: Tls | None) -> int:
        """The port that is listened at; 0 where it cannot be."""
        if tls is None:
            return int(self._server.add_insecure_port(address))
        authority = tls.authority.read_bytes() if tls.authority else None
        credentials = grpc.ssl_server_credentials(
            [(tls.key.read_bytes(), tls.certificate.read_bytes())], authority, authority is not None
        )
        return int(self._server.add_secure_port(address, credentials))

    def close(self, grace_s: float) -> None:
        """Take no more calls, and wait for those under way."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_s).wait()


class _Pools:
    """Our descriptors, and those of the services that come with gRPC."""

    def __getattr__(self, name: str) -> Any:
        from google.protobuf import descriptor_pool

        ours, theirs = getattr(POOL, name), getattr(descriptor_pool.Default(), name)

        def find(*args: Any) -> Any:
            try:
                return ours(*args)
            except KeyError:
                return theirs(*args)

        return find


class _Guarded(grpc.ServerInterceptor):  # type: ignore[misc]  # the library has no types
    """Refuses calls without a key, and those that are too many for one client."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def intercept_service(self, go_on: Any, details: Any) -> Any:
        """The method's handler, behind the guard."""
        handler = go_on(details)
        if handler is None or details.method.startswith("/grpc.health."):
            return handler
        headers = {name: value for name, value in details.invocation_metadata or () if isinstance(value, str)}
        streamed = handler.request_streaming
        run = handler.stream_stream if streamed else handler.unary_unary

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:
            client = context.peer().rpartition(":")[0]
            try:
                self._guard.need_key(headers)
                self._guard.enter(client)
            except Refused as exc:
                context.abort(CODES.get(exc.status, grpc.StatusCode.INTERNAL), exc.message)
            context.add_callback(lambda: self._guard.leave(client))
            return run(request, context)

        kind = grpc.stream_stream_rpc_method_handler if streamed else grpc.unary_unary_rpc_method_handler
        return kind(guarded, handler.request_deserializer, handler.response_serializer)


def handlers(service: Service) -> dict[str, Any]:
    """Method -> its handler, with the codecs of its messages."""
    made = {}
    for name, method in METHODS.items():
        request, response = message(method.input_type.name), message(method.output_type.name)
        run, kind = getattr(service, name), grpc.unary_unary_rpc_method_handler
        if name == "ModelStreamInfer":
            kind = grpc.stream_stream_rpc_method_handler
        else:
            run = answering(run)
        made[name] = kind(run, reading(request), response.SerializeToString)
    return made


def reading(kind: Any) -> Callable[[bytes], Any]:
    """Bytes as a message of that kind; those that are none become the error itself, which the method then raises:
    gRPC's library would write each of them to the log.
    """

    def read(content: bytes) -> Any:
        try:
            return kind.FromString(content)
        except DecodeError as exc:
            return Refused(400, f"the request is no {kind.DESCRIPTOR.name}: {str(exc)[-60:]}")

    return read


def answering(run: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
    """A method whose errors become statuses of gRPC."""

    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            if isinstance(request, Refused):
                raise request
            return run(request)
        except Exception as exc:
            refused = refusal(exc)
            context.abort(CODES.get(refused.status, grpc.StatusCode.INTERNAL), refused.message)

    return handle


class Service:
    """The methods; each takes its request message and returns its response message, or raises."""

    def __init__(self, app: App) -> None:
        self.app = app

    def ServerLive(self, request: Any) -> Any:  # noqa: N802 - the protocol's names
        """Whether the process answers."""
        return message("ServerLiveResponse")(live=True)

    def ServerReady(self, request: Any) -> Any:  # noqa: N802
        """Whether every model is ready."""
        return message("ServerReadyResponse")(ready=self.app.ready())

    def ModelReady(self, request: Any) -> Any:  # noqa: N802
        """Whether a model is ready; NOT_FOUND where there is none."""
        try:
            self.app.repository.face(request.name, request.version)
        except Refused as exc:
            if exc.status != 503:
                raise
            return message("ModelReadyResponse")(ready=False)
        return message("ModelReadyResponse")(ready=not self.app.draining)

    def ServerMetadata(self, request: Any) -> Any:  # noqa: N802
        """Name, version and extensions of the server."""
        return message("ServerMetadataResponse")(**self.app.metadata())

    def ModelMetadata(self, request: Any) -> Any:  # noqa: N802
        """A model's inputs and outputs."""
        return message("ModelMetadataResponse")(**self.app.repository.face(request.name, request.version).metadata())

    def ModelInfer(self, request: Any) -> Any:  # noqa: N802
        """Answer one request."""
        self.app.need_open()
        asked = codec.decode(request, self.app.regions.read)
        response = self.app.infer_blocking(asked)
        self.app.deliver(asked, response)
        return codec.encode(response)

    def ModelStreamInfer(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        """Answer requests one after the other; an error is part of the stream, which stays open."""
        made = message("ModelStreamInferResponse")
        for request in requests:
            try:
                if isinstance(request, Refused):
                    raise request
                yield made(infer_response=self.ModelInfer(request))
            except Exception as exc:
                failed = made(error_message=refusal(exc).message)
                failed.infer_response.id = getattr(request, "id", "")
                yield failed

    def ModelConfig(self, request: Any) -> Any:  # noqa: N802
        """A model's configuration."""
        made = config(self.app.repository.face(request.name, request.version))
        return json_format.ParseDict({"config": made}, message("ModelConfigResponse")(), descriptor_pool=POOL)

    def ModelStatistics(self, request: Any) -> Any:  # noqa: N802
        """Statistics of a model, or of all."""
        repository = self.app.repository
        faces = [repository.face(request.name, request.version)] if request.name else repository.faces
        told = {"model_stats": [face.statistics() for face in faces]}
        return json_format.ParseDict(told, message("ModelStatisticsResponse")(), descriptor_pool=POOL)

    def RepositoryIndex(self, request: Any) -> Any:  # noqa: N802
        """Every model and its state."""
        rows = self.app.repository.index(ready=request.ready)
        return message("RepositoryIndexResponse")(models=rows)

    def RepositoryModelLoad(self, request: Any) -> Any:  # noqa: N802
        """Load a model, or load it again."""
        self.app.change(request.model_name or request.repository_name, "load", request.parameters)
        return message("RepositoryModelLoadResponse")()

    def RepositoryModelUnload(self, request: Any) -> Any:  # noqa: N802
        """Unload a model."""
        self.app.change(request.model_name or request.repository_name, "unload", request.parameters)
        return message("RepositoryModelUnloadResponse")()

    def SystemSharedMemoryStatus(self, request: Any) -> Any:  # noqa: N802
        """The regions that clients registered."""
        made = message("SystemSharedMemoryStatusResponse")()
        for one in self.app.regions.status(request.name):
            region = made.regions[one.name]
            region.name, region.key, region.offset, region.byte_size = one.name, one.key, one.offset, one.byte_size
        return made

    def SystemSharedMemoryRegister(self, request: Any) -> Any:  # noqa: N802
        """Map a region."""
        self.app.regions.register(request.name, request.key, request.offset, request.byte_size)
        return message("SystemSharedMemoryRegisterResponse")()

    def SystemSharedMemoryUnregister(self, request: Any) -> Any:  # noqa: N802
        """Forget a region, or all."""
        self.app.regions.unregister(request.name)
        return message("SystemSharedMemoryUnregisterResponse")()

    def CudaSharedMemoryStatus(self, request: Any) -> Any:  # noqa: N802
        """No region is known."""
        return message("CudaSharedMemoryStatusResponse")()

    def CudaSharedMemoryRegister(self, request: Any) -> Any:  # noqa: N802
        """Refused: this server does not map a GPU's memory."""
        raise Refused(501, "this server does not map the memory of a GPU")

    def CudaSharedMemoryUnregister(self, request: Any) -> Any:  # noqa: N802
        """Nothing is registered."""
        return message("CudaSharedMemoryUnregisterResponse")()

    def TraceSetting(self, request: Any) -> Any:  # noqa: N802
        """The settings of tracing, which are fixed."""
        given = {name: _alone(name, list(one.value)) for name, one in request.settings.items()}
        made = message("TraceSettingResponse")()
        for name, value in trace(given).items():
            made.settings[name].value.extend(value if isinstance(value, list) else [value])
        return made

    def LogSettings(self, request: Any) -> Any:  # noqa: N802
        """What is logged."""
        kinds = {bool: "bool_param", int: "uint32_param", str: "string_param"}
        given = {
            name: getattr(one, one.WhichOneof("parameter_choice") or "string_param")
            for name, one in request.settings.items()
        }
        now = self.app.log_settings.change(given) if given else self.app.log_settings.read()
        made = message("LogSettingsResponse")()
        for name, value in now.items():
            setattr(made.settings[name], kinds[type(value)], value)
        return made


def _alone(name: str, values: list[str]) -> Any:
    """A trace setting as REST has it: the level is a list, nothing at all clears, everything else is one text."""
    return None if not values else values if name == "trace_level" else values[0]


class _Health(health.HealthServicer):  # type: ignore[misc]  # the library has no types
    """Health of the server, or of one model by its name."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Whether requests are answered."""
        status = health_pb2.HealthCheckResponse
        if request.service in ("", SERVICE):
            ready = self._app.ready()
        else:
            try:
                self._app.repository.face(request.service)
                ready = not self._app.draining
            except Refused as exc:
                if exc.status == 404:
                    context.abort(CODES[exc.status], exc.message)
                ready = False
        return status(status=status.SERVING if ready else status.NOT_SERVING)
