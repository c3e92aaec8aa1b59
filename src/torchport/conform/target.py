"""The server under test, as the checks see it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import BadInput
from .http_client import Answer, Http, parsed
from .tensors import BINARY_ONLY, Model, Tensor, elements, read, specs, unlisted
from .verdicts import Differs, NotOffered, expect

if TYPE_CHECKING:
    from .grpc_client import Grpc

SIZES = (1, 2)
"""What every free size of an input is made."""

NOBODY = "conform-nobody"
"""A name that no model has."""

HEAD = "inference-header-content-length"


@dataclass
class Target:
    """A server, and the model by which it is asked.

    Attributes:
        grpc: None where it cannot be asked by gRPC; `no_grpc` says why.
        reload: whether the model may be unloaded and loaded.
        answers: size -> outputs of the made-up inputs of that size, as the first request got them.
        refusals: size -> why there are none.
        element: of BYTES, that the model answers.
        binary: tensors have to go as bytes: one of them has no form in JSON.
    """

    http: Http
    grpc: Grpc | None
    no_grpc: str
    reload: bool
    server: dict[str, Any] = field(default_factory=dict)
    model: Model | None = None
    answers: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    refusals: dict[int, str] = field(default_factory=dict)
    element: bytes = b"1"
    binary: bool = False

    @property
    def named(self) -> Model:
        """The model; raises NotOffered where none was found."""
        if self.model is None:
            raise NotOffered("no model was found to ask by")
        return self.model

    @property
    def line(self) -> Grpc:
        """The server's gRPC; raises NotOffered where it is not asked by it."""
        if self.grpc is None:
            raise NotOffered(self.no_grpc)
        return self.grpc

    @property
    def extensions(self) -> list[str]:
        """What the server's metadata lists."""
        listed = self.server.get("extensions")
        return [str(one) for one in listed] if isinstance(listed, list) else []

    def get(self, path: str) -> Any:
        """The document at a path: exactly 200; raises Differs."""
        return self.http.ask("GET", path).ok()

    def small(self) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Inputs of the least size that the model answers, and the outputs; raises NotOffered where it answers none."""
        for size, outputs in self.answers.items():
            return self.named.made(size, self.element), outputs
        reasons = "; ".join(self.refusals.values())
        raise NotOffered(f"the model answered none of the inputs that were made up from its metadata: {reasons[:300]}")

    def infer(self, tensors: Sequence[Tensor], **words: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The document and the outputs of one request; see `request` for the words. Raises Differs."""
        words.setdefault("binary", {one.name for one in tensors} if self.binary else ())
        if self.binary and not words.get("outputs"):
            words["parameters"] = {"binary_data_output": True, **words.get("parameters", {})}
        return outputs_of(self.post(request(tensors, **words)), self.named)

    def valid(self, tensors: Sequence[Tensor]) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a request that the model answers."""
        if self.binary:
            return request(tensors, binary={one.name for one in tensors}, parameters={"binary_data_output": True})
        return request(tensors)

    def post(self, sent: tuple[bytes, dict[str, str]], path: str = "") -> Answer:
        """The answer to a body with its headers, at the model's inference or another path."""
        body, headers = sent
        return self.http.ask("POST", path or f"{self.named.path}/infer", body, headers)

    def prepare(self, name: str | None) -> None:
        """Find the model, read its metadata, and ask for the first answers."""
        found = self.http.ask("GET", "v2")
        told = found.json() if found.status == 200 and found.body[:1] == b"{" else {}
        self.server = told if isinstance(told, dict) else {}
        name = name or self._first_ready()
        if name is None:
            return
        answer = self.http.ask("GET", f"v2/models/{quote(name, safe='')}")
        if answer.status != 200:
            raise BadInput(f"the model '{name}' is not there: {answer.status} {answer.said()}", "see --model")
        told = answer.json()
        if isinstance(told, dict) and told.get("versions") is None:  # which the check of metadata tells
            told["versions"] = []
        self.model = model_of(told, name)
        self._first_answers()

    def _first_ready(self) -> str | None:
        """The first model of the repository's index that is ready, or of the list of models."""
        index = self.http.ask("POST", "v2/repository/index", {"ready": True})
        rows = index.json() if index.status == 200 else []
        names = [row.get("name") for row in rows if isinstance(row, dict) and row.get("state", "READY") == "READY"]
        listed = self.http.ask("GET", "v2/models") if not names else None
        if listed is not None and listed.status == 200:
            told = listed.json()
            names = told.get("models", []) if isinstance(told, dict) else []
        return next((one for one in names if isinstance(one, str)), None)

    def _first_answers(self) -> None:
        model = self.named
        self.binary = not model.datatypes.isdisjoint(BINARY_ONLY)
        tries: list[tuple[bytes, bool]] = [(b"1", self.binary)]
        if "BYTES" in {one.datatype for one in model.inputs}:
            tries += [(element, True) for element in elements()]
        for element, binary in tries:
            self.element, self.binary = element, binary
            for size in SIZES:
                try:
                    self.answers[size] = self.infer(model.made(size, element))[1]
                except Differs as exc:
                    self.refusals[size] = f"of size {size} {exc}"
            if self.answers:
                return


def model_of(told: Any, name: str) -> Model:
    """A model from its metadata; raises Differs where that is not as the protocol has it."""
    expect(isinstance(told, dict), "the model's metadata is no object")
    versions = told.get("versions", [])
    known = isinstance(versions, list) and all(isinstance(one, str) for one in versions)
    expect(known, f"the versions are {versions!r}, no list of texts")
    return Model(name, tuple(versions), specs(told.get("inputs"), "inputs"), specs(told.get("outputs"), "outputs"))


def request(
    tensors: Sequence[Tensor],
    *,
    binary: Collection[str] = (),
    outputs: list[dict[str, Any]] | None = None,
    parameters: Mapping[str, Any] | None = None,
    id: str | None = None,  # noqa: A002 - the protocol's name
    nested: bool = False,
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an inference request.

    Args:
        binary: names of the inputs whose values follow the JSON as bytes.
        outputs: as the protocol has them in JSON; None: none are named.
        nested: lists in lists instead of flat ones.
    """
    document: dict[str, Any] = {"inputs": []}
    tail = []
    for one in tensors:
        described = one.described()
        if one.name in binary:
            tail.append(one.content)
            described["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            described["data"] = one.listed(nested=nested)
        document["inputs"].append(described)
    for key, value in (("outputs", outputs), ("parameters", parameters), ("id", id)):
        if value is not None:
            document[key] = value
    head = json.dumps(document).encode()
    if not tail:
        return head, {"content-type": "application/json"}
    return b"".join((head, *tail)), {"content-type": "application/octet-stream", HEAD: str(len(head))}


def outputs_of(answer: Answer, model: Model) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The document of an inference answer, and its outputs, which are held against the model's metadata; raises
    Differs.
    """
    expect(answer.status == 200, f"it answers {answer.status}: {answer.said()}")
    told, rest = split(answer)
    expect(isinstance(told, dict), "the answer is no object")
    expect(told.get("model_name") == model.name, f"model_name is {told.get('model_name')!r}, not '{model.name}'")
    listed = told.get("outputs")
    expect(isinstance(listed, list), "the answer has no list of outputs")
    specs = {one.name: one for one in model.outputs}
    found: dict[str, Tensor] = {}
    for one in listed:
        tensor, rest = _output(one, rest)
        spec = specs.get(tensor.name)
        if spec is None:
            raise Differs(f"the answer has an output '{tensor.name}', which the metadata does not")
        if not _classified(one, spec.datatype):
            expect(tensor.datatype == spec.datatype, f"'{tensor.name}' is {tensor.datatype}, not {spec.datatype}")
            shape = list(tensor.array.shape)
            expect(spec.fits(shape), f"'{tensor.name}' has the shape {shape}, the metadata has {list(spec.shape)}")
        expect(tensor.name not in found, f"'{tensor.name}' occurs twice")
        found[tensor.name] = tensor
    expect(not rest, f"{len(rest):,} bytes are left behind the last output")
    return told, found


def split(answer: Answer) -> tuple[Any, bytes]:
    """The JSON of an answer, and the bytes behind it; raises Differs."""
    stated = answer.headers.get(HEAD)
    if stated is None:
        return answer.json(), b""
    expect(stated.isdecimal() and int(stated) <= len(answer.body), f"{HEAD} is {stated!r}")
    return parsed(answer.body[: int(stated)], "the part before the tensors"), answer.body[int(stated) :]


def _output(one: Any, rest: bytes) -> tuple[Tensor, bytes]:
    expect(isinstance(one, dict) and isinstance(one.get("name"), str), "an output has no name")
    name, datatype, shape = one["name"], one.get("datatype"), one.get("shape")
    sizes = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    expect(sizes and isinstance(datatype, str), f"'{name}' has the shape {shape!r} and the datatype {datatype!r}")
    given = one.get("parameters")
    size = given.get("binary_data_size") if isinstance(given, dict) else None
    if size is None:
        return unlisted(name, datatype, shape, one.get("data")), rest
    expect(type(size) is int and 0 <= size <= len(rest), f"binary_data_size of '{name}' is {size!r}")
    expect("data" not in one, f"'{name}' has data beside binary_data_size")
    return read(name, datatype, shape, rest[:size]), rest[size:]


def _classified(one: Any, datatype: str) -> bool:
    """Whether an output may be the greatest classes instead of the numbers."""
    return bool(one.get("datatype") == "BYTES" and datatype != "BYTES")
