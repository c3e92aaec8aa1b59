"""Checks of gRPC: every method, raw and typed tensors, statuses."""

from __future__ import annotations

from typing import Any

from .http_extensions import classified, numeric
from .target import NOBODY, Target
from .tensors import same
from .verdicts import NotOffered, check, expect

GRPC = "gRPC"
BAD = "INVALID_ARGUMENT"


@check(GRPC, "health")
def server_live(t: Target) -> None:
    """ServerLive answers live."""
    expect(t.line.call("ServerLive").live, "live is false")


@check(GRPC, "health")
def server_ready(t: Target) -> None:
    """ServerReady answers ready."""
    expect(t.line.call("ServerReady").ready, "ready is false")


@check(GRPC, "health")
def health_service(t: Target) -> None:
    """grpc.health.v1 answers SERVING."""
    found = t.line.health()
    expect(found == b"\x08\x01", f"the response is {found[:20].hex()}")


@check(GRPC, "server metadata")
def grpc_server_metadata(t: Target) -> None:
    """ServerMetadata says what HTTP says."""
    told = t.line.call("ServerMetadata")
    expect(told.name == t.server.get("name"), f"the name is '{told.name}'")
    expect(sorted(told.extensions) == sorted(t.extensions), f"the extensions are {list(told.extensions)}")


@check(GRPC, "model ready")
def grpc_model_ready(t: Target) -> None:
    """ModelReady answers ready, also of a version."""
    for version in ("", *t.named.versions[-1:]):
        expect(t.line.call("ModelReady", name=t.named.name, version=version).ready, "ready is false")


@check(GRPC, "model metadata")
def grpc_model_metadata(t: Target) -> None:
    """ModelMetadata says what HTTP says."""
    told = t.line.call("ModelMetadata", name=t.named.name)
    for kind, specs in (("inputs", t.named.inputs), ("outputs", t.named.outputs)):
        listed = [(one.name, one.datatype, tuple(one.shape)) for one in getattr(told, kind)]
        expect(listed == [tuple(one) for one in specs], f"the {kind} are {listed}")


@check(GRPC, "inference, traps 1 and 14")
def raw_tensors(t: Target) -> None:
    """Raw tensors are answered as by HTTP, and every answer is raw."""
    t.small()
    for size, wanted in t.answers.items():
        _, found = t.line.infer(t.named, t.named.made(size, t.element))
        same(found, wanted, f"the answer of size {size}")


@check(GRPC, "inference, trap 1")
def typed_tensors(t: Target) -> None:
    """Typed tensors are answered as raw ones, and every answer is raw."""
    tensors, wanted = t.small()
    same(t.line.infer(t.named, tensors, typed=True)[1], wanted, "the answer to typed contents")


@check(GRPC, "inference, trap 2")
def mixed_contents(t: Target) -> None:
    """Typed and raw contents are not mixed, and none is missing."""
    tensors, _ = t.small()
    both = t.line.request(t.named, tensors)
    try:
        typed = t.line.request(t.named, tensors, typed=True)
        both.inputs[0].contents.CopyFrom(typed.inputs[0].contents)
        t.line.refused("ModelInfer", both, BAD)
    except NotOffered:
        pass  # the first input has no typed form
    fewer = t.line.request(t.named, tensors)
    fewer.raw_input_contents.append(fewer.raw_input_contents[0])
    t.line.refused("ModelInfer", fewer, BAD)
    del fewer.raw_input_contents[:]
    t.line.refused("ModelInfer", fewer, BAD)


@check(GRPC, "inference, trap 9")
def grpc_id_and_version(t: Target) -> None:
    """The id comes back; without a version the latest answers, and says which."""
    tensors, _ = t.small()
    told, _ = t.line.infer(t.named, tensors, id="conform-1")
    expect(told.id == "conform-1", f"the id is '{told.id}'")
    known = t.named.versions
    expect(not known or told.model_version in known, f"the version is '{told.model_version}'")
    if known:
        t.line.infer(t.named, tensors, model_version=known[-1])


@check(GRPC, "inference")
def grpc_requested_outputs(t: Target) -> None:
    """Only the outputs that are named come back."""
    tensors, wanted = t.small()
    for name in wanted:
        asked = t.line.request(t.named, tensors)
        asked.outputs.add(name=name)
        response = t.line.send("ModelInfer", asked)
        names = [one.name for one in response.outputs]
        expect(names == [name], f"the outputs are {names}")


@check(GRPC, "classification", extension="classification")
def grpc_classification(t: Target) -> None:
    """Classification answers as by HTTP."""
    tensors, plain = t.small()
    name, numbers = numeric(plain)
    asked = t.line.request(t.named, tensors)
    asked.outputs.add(name=name).parameters["classification"].int64_param = 2
    classified(t.line.outputs(t.line.send("ModelInfer", asked), t.named)[name], numbers)


@check(GRPC, "compression, trap 8")
def grpc_compression(t: Target) -> None:
    """Calls in gzip and deflate are answered."""
    tensors, wanted = t.small()
    for kind in ("gzip", "deflate"):
        same(t.line.infer(t.named, tensors, compression=kind)[1], wanted, f"the answer to {kind}")


@check(GRPC, "limits, trap 9")
def large_message(t: Target) -> None:
    """A message beyond gRPC's own 4 MiB is read."""
    asked = t.line.request(t.named, t.small()[0])
    asked.parameters["conform_text"].string_param = "x" * (5 << 20)
    t.line.send("ModelInfer", asked)


@check(GRPC, "errors, trap 11")
def grpc_unknown_model(t: Target) -> None:
    """A model or version that is not there is NOT_FOUND."""
    line = t.line
    for name in (NOBODY, "../../etc/passwd"):
        line.refused("ModelInfer", line.request(t.named._replace(name=name), t.small()[0]), "NOT_FOUND")
        line.refused("ModelMetadata", line.make("ModelMetadataRequest", name=name), "NOT_FOUND")
    asked = line.request(t.named, t.small()[0], model_version="987654321")
    line.refused("ModelInfer", asked, "NOT_FOUND", BAD)


@check(GRPC, "errors, trap 11")
def grpc_wrong_tensors(t: Target) -> None:
    """Tensors that do not fit are INVALID_ARGUMENT."""
    tensors, _ = t.small()

    def refused(**first: Any) -> None:
        asked = t.line.request(t.named, tensors)
        for key, value in first.items():
            if key == "shape":
                del asked.inputs[0].shape[:]
                asked.inputs[0].shape.extend(value)
            elif key == "raw":
                asked.raw_input_contents[0] = value
            else:
                setattr(asked.inputs[0], key, value)
        t.line.refused("ModelInfer", asked, BAD)

    refused(name=NOBODY)
    refused(datatype="FP99")
    refused(datatype="")
    for shape in ([-1] * tensors[0].array.ndim, [1 << 62] * 2, [7, 7, 7, 7, 7, 7], [1] * 10_000):
        refused(shape=shape)
    refused(raw=tensors[0].content[:-1])
    refused(raw=tensors[0].content + b"\0")
    t.line.refused("ModelInfer", t.line.make("ModelInferRequest", model_name=t.named.name), BAD)
    asked = t.line.request(t.named, tensors)
    asked.outputs.add(name=NOBODY)
    t.line.refused("ModelInfer", asked, BAD)


@check(GRPC, "streams, trap 11")
def stream(t: Target) -> None:
    """An error in a stream is part of it, and the stream goes on."""
    tensors, wanted = t.small()
    good, bad = (t.line.request(model, tensors) for model in (t.named, t.named._replace(name=NOBODY)))
    found = t.line.stream([good, bad, good])
    expect(len(found) == 3, f"{len(found)} answers come to 3 requests")
    told = [one.error_message for one in found]
    expect(told[1] and not told[0] and not told[2], f"the error messages are {told}")
    for one in (found[0], found[2]):
        same(t.line.outputs(one.infer_response, t.named), wanted, "the answer in a stream")


@check(GRPC, "model configuration")
def grpc_model_configuration(t: Target) -> None:
    """ModelConfig has the tensors."""
    told = t.line.call("ModelConfig", name=t.named.name).config
    expect(told.name == t.named.name, f"the name is '{told.name}'")
    expect([one.name for one in told.input] == [one.name for one in t.named.inputs], "the inputs are others")


@check(GRPC, "statistics")
def grpc_statistics(t: Target) -> None:
    """ModelStatistics count what is answered."""

    def count() -> int:
        (row,) = t.line.call("ModelStatistics", name=t.named.name).model_stats
        return int(row.inference_stats.success.count)

    before = count()
    t.line.infer(t.named, t.small()[0])
    expect(count() > before, "an answer is not counted")
    expect(len(t.line.call("ModelStatistics").model_stats) >= 1, "of all models there are none")


@check(GRPC, "model repository")
def grpc_repository_index(t: Target) -> None:
    """RepositoryIndex names the model."""
    names = {one.name for one in t.line.call("RepositoryIndex").models}
    expect(t.named.name in names, f"it has {sorted(names)}")


@check(GRPC, "model repository, trap 6")
def grpc_load_of_nobody(t: Target) -> None:
    """A model that is not there is not loaded, by either form of the message."""
    for method in ("RepositoryModelLoad", "RepositoryModelUnload"):
        for field in ("model_name", "repository_name"):
            asked = t.line.make(f"{method}Request", **{field: NOBODY})
            t.line.refused(method, asked, "NOT_FOUND", BAD, "PERMISSION_DENIED")


@check(GRPC, "model repository, trap 6")
def grpc_reload(t: Target) -> None:
    """A model is unloaded and loaded, by either form of the message."""
    tensors, wanted = t.small()
    if not t.reload:
        raise NotOffered("it takes the model away for a moment; ask for it with --reload")
    for field in (
        "model_name",
        "repository_name",
    ):  # Triton's clients name it in the second field, KServe's in the first
        try:
            t.line.call("RepositoryModelUnload", **{field: t.named.name})
            expect(not _is_ready(t), f"it is ready when it is unloaded by {field}")
        finally:
            t.line.call("RepositoryModelLoad", **{field: t.named.name})
        expect(_is_ready(t), f"it is not ready when it is loaded by {field}")
        same(t.line.infer(t.named, tensors)[1], wanted, "the answer once it is loaded again")


def _is_ready(t: Target) -> bool:
    return t.http.ask("GET", f"{t.named.path}/ready").status == 200


@check(GRPC, "shared memory, trap 13")
def grpc_shared_memory(t: Target) -> None:
    """Regions of shared memory are listed, and refused where there is none."""
    t.line.call("SystemSharedMemoryStatus")
    for key in ("/conform-nothing", "/../etc/passwd"):
        fields = {"name": "conform", "key": key, "byte_size": 8}
        asked = t.line.make("SystemSharedMemoryRegisterRequest", **fields)
        t.line.refused("SystemSharedMemoryRegister", asked, BAD, "NOT_FOUND", "UNAVAILABLE", "PERMISSION_DENIED")
    t.line.call("SystemSharedMemoryUnregister", name="conform")


@check(GRPC, "shared memory")
def grpc_cuda_shared_memory(t: Target) -> None:
    """Regions of a GPU are listed, and refused where there is none."""
    t.line.call("CudaSharedMemoryStatus")
    asked = t.line.make("CudaSharedMemoryRegisterRequest", name="conform", raw_handle=b"x", byte_size=8)
    t.line.refused("CudaSharedMemoryRegister", asked, BAD, "UNIMPLEMENTED", "UNAVAILABLE", "PERMISSION_DENIED")
    t.line.call("CudaSharedMemoryUnregister", name="conform")


@check(GRPC, "trace")
def grpc_trace(t: Target) -> None:
    """TraceSetting tells the settings of tracing."""
    expect(t.line.call("TraceSetting").settings, "there are no settings")
    expect(t.line.call("TraceSetting", model_name=t.named.name).settings, "there are no settings of the model")


@check(GRPC, "logging")
def grpc_logging(t: Target) -> None:
    """LogSettings tells the settings of the log."""
    expect(t.line.call("LogSettings").settings, "there are no settings")
