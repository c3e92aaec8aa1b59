"""Checks of HTTP: health, metadata, inference with JSON and binary tensors."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import numpy as np

from ..serve.datatypes import KNOWN
from .target import HEAD, Target, model_of, outputs_of, request, split
from .tensors import BINARY_ONLY, Tensor, read, same
from .verdicts import NotOffered, check, expect

HTTP, BINARY = "HTTP", "binary_tensor_data"


@check(HTTP, "health, trap 5")
def live(t: Target) -> None:
    """GET v2/health/live is 200, and says so in JSON."""
    expect(t.get("v2/health/live") == {"live": True}, 'the body is not {"live": true}, which KServe\'s client reads')


@check(HTTP, "health, trap 5")
def ready(t: Target) -> None:
    """GET v2/health/ready is 200, and says so in JSON."""
    expect(t.get("v2/health/ready") == {"ready": True}, 'the body is not {"ready": true}, which KServe\'s client reads')


@check(HTTP, "server metadata")
def server_metadata(t: Target) -> str:
    """GET v2 has a name, a version and a list of extensions."""
    told = t.get("v2")
    expect(isinstance(told, dict), "it is no object")
    texts = all(isinstance(told.get(key), str) for key in ("name", "version"))
    listed = told.get("extensions")
    expect(texts and isinstance(listed, list), f"its fields are {sorted(told)}")
    expect(all(isinstance(one, str) for one in listed), "an extension is no text")
    return ", ".join(listed)


@check(HTTP, "KServe's list of models")
def models(t: Target) -> None:
    """GET v2/models lists the names of models."""
    found = t.http.ask("GET", "v2/models")
    if found.status in (404, 405):
        raise NotOffered(f"it answers {found.status}")
    told = found.ok()
    names = told.get("models") if isinstance(told, dict) else None
    expect(isinstance(names, list) and all(isinstance(one, str) for one in names), "models is no list of names")


@check(HTTP, "model metadata")
def model_metadata(t: Target) -> str:
    """GET v2/models/NAME has the model's name, versions, inputs and outputs."""
    expect(t.model or not t.refusals, "; ".join(t.refusals.values()))
    model = t.named
    told = t.get(model.path)
    expect(told.get("name") == model.name, f"its name is {told.get('name')!r}")
    expect(isinstance(told.get("platform"), str), "it has no platform")
    model_of(told, model.name)
    return ", ".join(sorted(model.datatypes))


@check(HTTP, "model metadata")
def model_metadata_of_a_version(t: Target) -> None:
    """A version in the path is the same model."""
    model = t.named
    if not model.versions:
        raise NotOffered("the model has no versions")
    told, plain = t.get(f"{model.path}/versions/{model.versions[-1]}"), t.get(model.path)
    expect(told.get("inputs") == plain.get("inputs"), "its inputs are others than without the version")
    t.http.ask("GET", f"{model.path}/versions/{model.versions[-1]}/ready").ok()


@check(HTTP, "model ready, trap 5")
def model_ready(t: Target) -> None:
    """GET v2/models/NAME/ready is 200."""
    found = t.http.ask("GET", f"{t.named.path}/ready")
    expect(found.status == 200, f"it answers {found.status}: {found.said()}")


@check(HTTP, "paths, trap 10")
def quoted_name(t: Target) -> None:
    """A name is read as it is quoted in a path."""
    quoted = "".join(f"%{byte:02X}" for byte in t.named.name.encode())
    told = t.get(f"v2/models/{quoted}")
    expect(told.get("name") == t.named.name, f"v2/models/{quoted} is {told.get('name')!r}")


@check(HTTP, "inference")
def infer(t: Target) -> str:
    """Tensors in JSON are answered, by names, datatypes and shapes of the metadata."""
    expect(
        t.named and t.answers, f"none of the inputs made up from the metadata: {'; '.join(t.refusals.values())[:300]}"
    )
    if t.binary:
        raise NotOffered("the model takes or answers what has no form in JSON")
    return f"free sizes of {' and '.join(map(str, t.answers))}" + "".join(f"; {one}" for one in t.refusals.values())


@check(HTTP, "inference")
def nested_lists(t: Target) -> None:
    """Nested lists are the same tensor as a flat one."""
    tensors, wanted = t.small()
    if t.binary:
        raise NotOffered("the model takes or answers what has no form in JSON")
    same(t.infer(tensors, nested=True)[1], wanted, "the answer to nested lists")


@check(HTTP, "inference, trap 9")
def request_id(t: Target) -> None:
    """The id of a request comes back."""
    tensors, _ = t.small()
    for name in ("conform-1", "näme 2"):
        told, _ = t.infer(tensors, id=name)
        expect(told.get("id") == name, f"the id {name!r} comes back as {told.get('id')!r}")


@check(HTTP, "inference")
def requested_outputs(t: Target) -> None:
    """Only the outputs that are named come back."""
    tensors, wanted = t.small()
    for name in wanted:
        found = t.infer(tensors, outputs=[_asked(t, name)])[1]
        same(found, {name: wanted[name]}, f"the answer with '{name}' alone")


@check(HTTP, "versions, trap 9")
def empty_version(t: Target) -> str:
    """Without a version the latest answers, and says which."""
    tensors, _ = t.small()
    told, _ = t.infer(tensors)
    version, known = told.get("model_version"), t.named.versions
    if not known:
        raise NotOffered("the model has no versions")
    expect(version in known, f"model_version is {version!r}, the metadata has {list(known)}")
    return str(version)


@check(HTTP, "versions")
def infer_of_a_version(t: Target) -> None:
    """A version in the path of an inference is answered by it."""
    tensors, wanted = t.small()
    if not t.named.versions:
        raise NotOffered("the model has no versions")
    answer = t.post(t.valid(tensors), f"{t.named.path}/versions/{t.named.versions[-1]}/infer")
    same(outputs_of(answer, t.named)[1], wanted, "the answer of the version")


@check(HTTP, "binary tensors, trap 14", extension=BINARY)
def binary_inputs(t: Target) -> None:
    """Tensors as bytes behind the JSON are the same tensors."""
    tensors, wanted = t.small()
    same(
        outputs_of(t.post(request(tensors, binary=_all(tensors), parameters=_as_bytes(t))), t.named)[1],
        wanted,
        "the answer to binary tensors",
    )


@check(HTTP, "binary tensors, trap 4", extension=BINARY)
def binary_outputs(t: Target) -> None:
    """With binary_data_output every output comes as bytes, in the order of the JSON."""
    tensors, wanted = t.small()
    answer = t.post(request(tensors, binary=_all(tensors), parameters={"binary_data_output": True}))
    told, found = outputs_of(answer, t.named)
    same(found, wanted, "the binary answer")
    expect(len(found) == len(t.named.outputs), f"{len(found)} of {len(t.named.outputs)} outputs come back")
    sizes: list[Any] = [(one.get("parameters") or {}).get("binary_data_size") for one in told["outputs"]]
    expect(None not in sizes, "an output comes as JSON")
    expect(sum(sizes) == len(split(answer)[1]), f"sizes of {sizes} and {len(split(answer)[1]):,} bytes")


@check(HTTP, "binary tensors", extension=BINARY)
def mixed_inputs(t: Target) -> None:
    """One input may be JSON and another bytes."""
    tensors, wanted = t.small()
    if len(tensors) < 2 or t.binary:
        raise NotOffered("the model has one input" if len(tensors) < 2 else "the model takes what has no form in JSON")
    for binary in (tensors[0].name, tensors[-1].name):
        same(t.infer(tensors, binary=(binary,))[1], wanted, f"the answer with '{binary}' as bytes")


@check(HTTP, "binary tensors", extension=BINARY)
def mixed_outputs(t: Target) -> None:
    """binary_data says of each output in which form it comes."""
    tensors, wanted = t.small()
    if t.named.datatypes.intersection(BINARY_ONLY):
        raise NotOffered("the model answers what has no form in JSON")
    names = list(wanted)
    for chosen in (names[:1], names[1:], []):
        outputs = [{"name": name, "parameters": {"binary_data": name in chosen}} for name in names]
        sent = request(tensors, binary=_all(tensors), outputs=outputs, parameters={"binary_data_output": True})
        told, found = outputs_of(t.post(sent), t.named)
        same(found, wanted, "the answer in mixed forms")
        came = [one["name"] for one in told["outputs"] if "data" not in one]
        expect(came == chosen, f"{came} come as bytes, {chosen} were asked for so")


@check(HTTP, "binary tensors", extension=BINARY)
def raw_body(t: Target) -> None:
    """A body that is the only input, with a header length of 0, is answered by bytes."""
    tensors, wanted = t.small()
    free = sum(size < 0 for size in t.named.inputs[0].shape[1:])
    if len(tensors) != 1 or free > 1 or 1 not in t.answers:
        raise NotOffered("it is for models with one input and one free size at most")
    (one,) = tensors
    content = one.array.ravel().tolist()[0] if one.datatype == "BYTES" else one.content
    answer = t.post((content, {HEAD: "0", "content-type": "application/octet-stream"}))
    told, found = outputs_of(answer, t.named)
    same(found, wanted, "the answer to a raw body")
    expect(all("data" not in output for output in told["outputs"]), "an output comes as JSON")


@check(HTTP, "binary tensors, trap 10", extension=BINARY)
def empty_tensor(t: Target) -> str:
    """A tensor of no elements is answered, or refused in words."""
    if not any(-1 in one.shape for one in t.named.inputs):
        raise NotOffered("the model has no free size")
    t.small()
    tensors = t.named.made(0, t.element)
    answer = t.post(request(tensors, binary=_all(tensors), parameters={"binary_data_output": True}))
    if answer.status != 200:
        return f"refused: {answer.refused(400)[:100]}"
    outputs_of(answer, t.named)
    return "answered"


def _compressed(t: Target, encoding: str) -> None:
    tensors, wanted = t.small()
    squeeze: Any = gzip.compress if encoding == "gzip" else zlib.compress
    inflate: Any = gzip.decompress if encoding == "gzip" else zlib.decompress
    body, headers = t.valid(tensors)
    answer = t.post((squeeze(body), {**headers, "content-encoding": encoding}))
    same(outputs_of(answer, t.named)[1], wanted, f"the answer to a body in {encoding}")
    answer = t.post((body, {**headers, "accept-encoding": encoding}))
    used = answer.headers.get("content-encoding", "identity")
    expect(used in (encoding, "identity"), f"it answers in {used}")
    if used != "identity":
        try:
            answer = answer._replace(body=inflate(answer.body))
        except (OSError, zlib.error) as exc:
            expect(False, f"the answer is not {encoding}: {exc}")
    same(outputs_of(answer, t.named)[1], wanted, f"the answer that accepts {encoding}")


@check(HTTP, "compression, trap 8")
def gzip_bodies(t: Target) -> None:
    """A body in gzip is read, and Accept-Encoding is honoured."""
    _compressed(t, "gzip")


@check(HTTP, "compression, trap 8")
def deflate_bodies(t: Target) -> None:
    """A body in deflate (zlib's framing) is read, and Accept-Encoding is honoured."""
    _compressed(t, "deflate")


def _datatype(datatype: str) -> Any:
    """The check of one datatype."""

    def run(t: Target) -> str:
        model = t.named
        places = [
            f"{kind} '{one.name}'"
            for kind, listed in (("input", model.inputs), ("output", model.outputs))
            for one in listed
            if one.datatype == datatype
        ]
        if not places:
            raise NotOffered("the model has no tensor of it")
        for size, wanted in t.answers.items():
            tensors = model.made(size, t.element)
            if BINARY in t.extensions:
                sent = request(tensors, binary=_all(tensors), parameters={"binary_data_output": True})
                found = outputs_of(t.post(sent), model)[1]
                same(found, wanted, f"the binary answer of size {size}")
                for one in (*tensors, *found.values()):
                    _again(one)
        t.small()
        if datatype in BINARY_ONLY and any(one.datatype == datatype for one in model.inputs):
            _no_json(t, datatype)
        return ", ".join(places)

    return run


def _again(one: Tensor) -> None:
    """A tensor's bytes are those of a tensor like it."""
    again = read(one.name, one.datatype, one.array.shape, one.content)
    expect(np.array_equal(again.array, one.array) or one.array.dtype.kind == "f", f"'{one.name}' changes as bytes")


def _no_json(t: Target, datatype: str) -> None:
    tensors = t.named.made(next(iter(t.answers)), t.element)
    answer = t.post(request(tensors, binary=[one.name for one in tensors if one.datatype != datatype]))
    expect(answer.status != 200, f"{datatype} is taken as JSON, which has no form of it")
    answer.refused(400)


for _name in KNOWN:
    check(HTTP, "datatypes", name=f"datatype {_name}", about=f"{_name} is read and answered, as JSON and as bytes")(
        _datatype(_name)
    )


def _all(tensors: list[Tensor]) -> set[str]:
    return {one.name for one in tensors}


def _as_bytes(t: Target) -> dict[str, Any] | None:
    """Parameters that ask for bytes, where the model's outputs have no form in JSON."""
    return {"binary_data_output": True} if t.binary else None


def _asked(t: Target, name: str) -> dict[str, Any]:
    return {"name": name, "parameters": {"binary_data": True}} if t.binary else {"name": name}
