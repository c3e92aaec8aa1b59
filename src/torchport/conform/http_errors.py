"""Checks of HTTP: what is wrong is refused with the right status, and in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .target import HEAD, NOBODY, Target, request
from .verdicts import NotOffered, check, expect

HTTP = "HTTP"


@check(HTTP, "errors")
def unknown_model(t: Target) -> None:
    """A model that is not there is 404 with an error."""
    t.http.ask("GET", f"v2/models/{NOBODY}").refused(404)
    t.http.ask("GET", f"v2/models/{NOBODY}/ready").refused(404)
    t.http.ask("POST", f"v2/models/{NOBODY}/infer", {"inputs": []}).refused(404)


@check(HTTP, "errors")
def unknown_version(t: Target) -> None:
    """A version that is not there is refused with an error."""
    t.http.ask("GET", f"{t.named.path}/versions/987654321").refused(400, 404)
    t.post(t.valid(t.small()[0]), f"{t.named.path}/versions/987654321/infer").refused(400, 404)


@check(HTTP, "errors")
def unknown_path(t: Target) -> None:
    """A path that is not there is 404, a method that is not for it 404 or 405, with an error."""
    t.http.ask("GET", "v2/conform/nothing").refused(404)
    t.http.ask("GET", f"{t.named.path}/infer").refused(404, 405)


@check(HTTP, "errors, trap 13")
def path_tricks(t: Target) -> None:
    """Names that leave the repository name no model."""
    for name in ("..%2F..%2Fetc%2Fpasswd", "..%5C..%5Cwindows", "%2Fetc", "%00", "..", "%2E%2E"):
        t.http.ask("GET", f"v2/models/{name}/ready").refused(400, 404, 405)
        t.http.ask("POST", f"v2/models/{name}/infer", {"inputs": []}).refused(400, 404, 405)


def _body(t: Target, **words: Any) -> bytes:
    """A valid request as JSON; raises NotOffered where the model has none."""
    if t.binary:
        raise NotOffered("the model takes or answers what has no form in JSON")
    return request(t.small()[0], **words)[0]


def _document(t: Target) -> Any:
    return json.loads(_body(t))


def _refused(t: Target, body: Any, *statuses: int) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    t.post((sent, {"content-type": "application/json"})).refused(*(statuses or (400,)))


@check(HTTP, "errors")
def no_request(t: Target) -> None:
    """A body that is no request in JSON is 400 with an error."""
    for body in (b"", b"{", b"[]", b"null", b'{"inputs": []}', b'{"inputs": {}}', b"\xff\xfe{}", b'{"id": "1"}'):
        _refused(t, body)


@check(HTTP, "errors, trap 13")
def deep_nesting(t: Target) -> None:
    """Brackets without end are 400, and the server goes on."""
    for body in (b"[" * 200_000, b'{"inputs":' * 30_000):
        _refused(t, body, 400, 413)
    t.http.ask("GET", "v2/health/live").ok()


@check(HTTP, "errors")
def wrong_inputs(t: Target) -> None:
    """An input too few, too many, twice or of another name is 400 with an error."""
    for change in (
        lambda listed: listed[1:],
        lambda listed: [*listed, {**listed[0], "name": NOBODY}],
        lambda listed: [*listed, listed[0]],
        lambda listed: [{**listed[0], "name": NOBODY}, *listed[1:]],
        lambda listed: [{key: value for key, value in listed[0].items() if key != "name"}, *listed[1:]],
    ):
        document = _document(t)
        _refused(t, {**document, "inputs": change(document["inputs"])})


def _changed(t: Target, **fields: Any) -> Any:
    """A valid request whose first input has other fields; of a function, its value of the input."""
    document = _document(t)
    first = document["inputs"][0]
    first.update({key: value(first) if callable(value) else value for key, value in fields.items()})
    return {**document, "inputs": [first, *document["inputs"][1:]]}


@check(HTTP, "errors")
def wrong_datatype(t: Target) -> None:
    """A datatype that there is not, or another than the model's, is 400 with an error."""
    for datatype in ("FP99", "", "fp32", 7, None):
        _refused(t, _changed(t, datatype=datatype))
    mine = t.named.inputs[0].datatype
    other: dict[str, Any] = {"datatype": "INT64" if mine != "INT64" else "FP64"}
    if mine in ("BOOL", "BYTES"):
        other["data"] = lambda first: [1] * len(first["data"])
    _refused(t, _changed(t, **other))


@check(HTTP, "errors")
def wrong_shape(t: Target) -> None:
    """A shape that the values or the model do not have is 400 with an error."""

    def one_more(first: dict[str, Any]) -> list[Any]:
        return [*first["data"], first["data"][0]]

    shapes: tuple[Callable[[dict[str, Any]], Any], ...] = (
        lambda first: [size + 1 for size in first["shape"]],
        lambda first: [-1 for _ in first["shape"]],
        lambda first: [1.5, *first["shape"][1:]],
        lambda first: "1",
    )
    for shape in shapes:
        _refused(t, _changed(t, shape=shape))
    _refused(t, _changed(t, data=one_more))
    _refused(t, _changed(t, data=lambda first: first["data"][1:]))


@check(HTTP, "errors")
def wrong_values(t: Target) -> None:
    """Values that the datatype does not have are 400 with an error."""
    kind = t.named.inputs[0].datatype
    wrong: list[Any] = [None, {}, "x" if kind != "BYTES" else 1, "x" if kind == "BOOL" else {"a": 1}]
    wrong += [1 << 70, 0.5] if "INT" in kind else []
    for value in wrong:
        _refused(t, _changed(t, data=lambda first, value=value: [value, *first["data"][1:]]))
    text = json.dumps(_changed(t, data=lambda first: ["@", *first["data"][1:]])).encode()
    for word in (b"NaN", b"Infinity", b"-Infinity"):
        _refused(t, text.replace(b'"@"', word))


@check(HTTP, "errors, trap 13")
def huge_shape(t: Target) -> None:
    """Sizes beyond any memory are 400 with an error."""
    for size in (1 << 62, (1 << 31) - 1, 1 << 63, 10**30):
        _refused(t, _changed(t, shape=lambda first, size=size: [size for _ in first["shape"]]), 400, 413)
    _refused(t, _changed(t, shape=[1] * 10_000), 400, 413)


@check(HTTP, "errors, trap 13")
def wrong_outputs(t: Target) -> None:
    """Outputs that there are not are 400 with an error, also very many of them."""
    wrong: tuple[Any, ...] = ([{"name": NOBODY}], [{}], {"name": "x"}, [{"name": NOBODY}] * 100_000)
    for outputs in wrong:
        _refused(t, {**_document(t), "outputs": outputs}, 400, 413)
    t.http.ask("GET", "v2/health/live").ok()


@check(HTTP, "errors, trap 13")
def huge_body(t: Target) -> None:
    """A body of a terabyte is refused before it is sent."""
    t.http.claim(f"{t.named.path}/infer", 1 << 40).refused(413, 400)


@check(HTTP, "binary tensors", extension="binary_tensor_data")
def wrong_lengths(t: Target) -> None:
    """Lengths that do not fit the body are 400 with an error."""
    tensors, _ = t.small()
    body, headers = request(tensors, binary={one.name for one in tensors})
    head = int(headers[HEAD])

    def refused(sent: bytes, length: object) -> None:
        t.post((sent, {**headers, HEAD: str(length)})).refused(400)

    for length in (len(body) + 1, head - 1, head + 1, -1, "x", 1 << 70):
        refused(body, length)
    for sent in (body[:-1], body + b"\0", body[:head]):
        refused(sent, head)
    for size in (-1, 1 << 62, "8", 0.5):
        document = json.loads(body[:head])
        document["inputs"][0]["parameters"]["binary_data_size"] = size
        text = json.dumps(document).encode()
        refused(text + body[head:], len(text))


@check(HTTP, "compression, trap 8")
def wrong_encoding(t: Target) -> None:
    """A body that is not as its Content-Encoding says is refused with an error."""
    body, headers = t.valid(t.small()[0])
    for encoding in ("gzip", "deflate"):
        t.post((body, {**headers, "content-encoding": encoding})).refused(400, 415)
    t.post((body, {**headers, "content-encoding": "conform"})).refused(400, 415, 501)


@check(HTTP, "shared memory, trap 13")
def no_shared_memory(t: Target) -> None:
    """Memory of the machine is not to be named where the extension is not listed."""
    if "system_shared_memory" in t.extensions:
        raise NotOffered("the server lists system_shared_memory")
    region = {"key": "/conform-nothing", "offset": 0, "byte_size": 8}
    answer = t.http.ask("POST", "v2/systemsharedmemory/region/conform/register", region)
    expect(400 <= answer.status < 500 or answer.status == 501, f"a region is registered: {answer.status}")
    answer.refused(answer.status)
    parameters = {"shared_memory_region": "conform", "shared_memory_byte_size": 8}
    document = _changed(t, parameters=parameters)
    del document["inputs"][0]["data"]
    _refused(t, document)
