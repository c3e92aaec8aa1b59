"""Inference requests and answers as JSON with or without binary tensors behind it, after the Open Inference Protocol's
REST form and Triton's binary_tensor_data extension.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, prod
from typing import Any

import msgspec
import numpy as np
import simdjson

from ..errors import BadInput
from .datatypes import BYTES, KNOWN, NUMPY, elements, from_bytes, objects, to_bytes
from .datatypes import datatype_of as datatype
from .messages import Parameter, Request, Response
from .parameters import MOST_TENSORS, REGION, need_known, need_once, need_tensors, place, wanted

LONG = 32_768
"""From so many bytes on it pays to read a JSON body with simdjson, whose number arrays become arrays at once."""

FEW = 64
"""So few numbers are looked at one by one: a call of numpy takes longer."""

MOST_LISTS = 1 << 18
"""Lists of a body whose data become lists: each takes thirty times the memory of its two brackets."""

MOST_DEPTH = 40
"""How deep the lists of a tensor's data may lie in each other."""


class TensorBody(msgspec.Struct):
    """One tensor of a request; `data` is absent where it comes behind the JSON or lies in shared memory."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Parameter] = {}
    data: Any = None


class _Short(TensorBody):
    data: msgspec.Raw = msgspec.Raw()


class OutputBody(msgspec.Struct):
    """One output that a request asks for."""

    name: str
    parameters: dict[str, Parameter] = {}


class InferBody(msgspec.Struct):
    """An inference request as JSON."""

    inputs: list[TensorBody]
    id: str = ""
    parameters: dict[str, Parameter] = {}
    outputs: list[OutputBody] | None = None


class _ShortBody(InferBody):
    inputs: list[_Short]  # type: ignore[assignment]


_short = msgspec.json.Decoder(_ShortBody)
_floats = msgspec.json.Decoder(list[float])
_ints = msgspec.json.Decoder(list[int])
_bools = msgspec.json.Decoder(list[bool])
_strings = msgspec.json.Decoder(list[str])
_anything = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()

Region = Callable[[str, int, int], bytes]
"""Shared memory by name, offset and size in bytes; raises BadInput."""


def decode(model: str, version: str, body: bytes, head: int | None, region: Region) -> Request:
    """A request from an HTTP body.

    Args:
        head: bytes of JSON before the binary tensors, from Inference-Header-Content-Length; None: all is JSON.
        region: reads shared memory.

    Raises:
        BadInput: it is no request of the protocol; says what of it is not.
    """
    if head is not None and not 0 < head <= len(body):
        raise BadInput(
            f"Inference-Header-Content-Length is {head}", f"it counts the JSON's bytes, and the body has {len(body):,}"
        )
    text = body if head is None else body[:head]
    try:
        parsed = _read_long(text) if len(text) > LONG else _short.decode(text)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, UnicodeDecodeError) as exc:
        raise BadInput(f"the body is no inference request: {_said(exc)}", "send JSON with inputs, a list") from exc
    need_tensors(len(parsed.inputs), len(parsed.outputs or ()))
    rest = memoryview(body)[len(text) :]
    inputs: dict[str, np.ndarray] = {}
    for tensor in parsed.inputs:
        need_once(tensor.name, inputs)
        array, rest = _tensor(tensor, rest, region)
        inputs[tensor.name] = array
    if len(rest):
        raise BadInput(f"{len(rest):,} bytes are left behind the last tensor", "see binary_data_size of each input")
    return Request(
        model,
        inputs,
        version,
        parsed.id,
        parsed.parameters,
        None if parsed.outputs is None else [wanted(one.name, one.parameters) for one in parsed.outputs],
        bool(parsed.parameters.get("binary_data_output", False)),
    )


def decode_raw(model: str, version: str, body: bytes, inputs: Sequence[Mapping[str, Any]]) -> Request:
    """A request whose body is its only input, which is one item; every output goes as bytes.

    Args:
        inputs: of the model's metadata.

    Raises:
        BadInput: the model has several inputs, or more than one size is free, or the bytes do not fit.
    """
    if len(inputs) != 1:
        raise BadInput(f"{model} has {len(inputs)} inputs", "a body without JSON is for models with one")
    name, datatype_, shape = inputs[0]["name"], inputs[0]["datatype"], list(inputs[0]["shape"])
    free = [axis for axis, size in enumerate(shape) if size < 0]
    if free[:1] == [0]:
        shape[free.pop(0)] = 1
    if datatype_ == BYTES:
        body = struct.pack("<I", len(body)) + body
        shape = [size if size >= 0 else 1 for size in shape]
    elif len(free) == 1:
        whole = -prod(shape) * np.dtype(NUMPY[datatype_]).itemsize
        if whole == 0 or len(body) % whole:
            raise BadInput(f"'{name}' has {len(body):,} bytes", f"they are no tensor of {datatype_}{shape}")
        shape[free[0]] = len(body) // whole
    elif free:
        raise BadInput(f"'{name}' has several free sizes", "send JSON that says them")
    return Request(model, {name: from_bytes(name, datatype_, shape, body)}, version, binary=True)


def _tensor(one: TensorBody, rest: memoryview, region: Region) -> tuple[np.ndarray, memoryview]:
    """One input, and what is left of the bytes behind the JSON."""
    need_known(one.name, one.datatype)
    size, shared = one.parameters.get("binary_data_size"), one.parameters.get(REGION)
    given = len(memoryview(one.data)) > 0 if isinstance(one.data, msgspec.Raw) else one.data is not None
    if given + (size is not None) + (shared is not None) != 1:
        raise BadInput(
            f"'{one.name}' has {'several values' if given or size is not None else 'no value'}",
            "give data, or binary_data_size, or shared_memory_region",
        )
    if shared is not None:
        content = region(*place(one.name, one.parameters))
        return from_bytes(one.name, one.datatype, one.shape, content), rest
    if size is not None:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(rest):
            raise BadInput(f"binary_data_size of '{one.name}' is {size}", f"{len(rest):,} bytes are left of the body")
        return from_bytes(one.name, one.datatype, one.shape, rest[:size]), rest[size:]
    return _numbers(one), rest


def _numbers(one: TensorBody) -> np.ndarray:
    """A tensor from its JSON: a flat list, or lists in lists."""
    count = elements(one.name, one.shape)
    if one.datatype in ("FP16", "BF16"):
        raise BadInput(f"'{one.name}' is {one.datatype}, which has no form in JSON", "send it as binary data")
    flat = one.data if isinstance(one.data, np.ndarray) else _flat(one)
    if len(flat) != count:
        raise BadInput(f"'{one.name}' has {len(flat):,} elements", f"its shape {one.shape} has {count:,}")
    if one.datatype == BYTES:
        return objects(one.name, one.shape, [text.encode() for text in flat])
    dtype = _DTYPES[one.datatype]
    try:
        array = np.asarray(flat, dtype) if _holds(flat, dtype) else None
    except (OverflowError, ValueError, TypeError):
        array = None
    if array is None:
        raise BadInput(f"'{one.name}' holds a value that {one.datatype} does not", "it is beyond its greatest number")
    return array.reshape(one.shape)


_DTYPES = {datatype_: np.dtype(dtype) for datatype_, dtype in NUMPY.items()}
_LARGEST = {dtype: float(np.finfo(dtype).max) for dtype in _DTYPES.values() if dtype.kind == "f"}


def _holds(flat: Any, dtype: np.dtype) -> bool:
    """Whether a dtype can take these numbers, where making the array would not say so itself."""
    if dtype.kind == "f":
        most = _LARGEST[dtype]
        if len(flat) <= FEW:
            return all(-most <= value <= most for value in flat)
        return bool(np.abs(flat).max() <= most)
    if dtype.kind in "iu" and isinstance(flat, np.ndarray) and flat.size:
        return bool(flat.min() >= np.iinfo(dtype).min and flat.max() <= np.iinfo(dtype).max)
    return True


def _flat(one: TensorBody) -> Any:
    """The elements of a tensor's data in row-major order, of the kind that its datatype takes."""
    decoder: msgspec.json.Decoder[Any] = _decoder(one.datatype)
    try:
        if isinstance(one.data, msgspec.Raw):
            return decoder.decode(one.data)
        return msgspec.convert(one.data, decoder.type)
    except (msgspec.ValidationError, RecursionError, UnicodeDecodeError):
        pass
    try:
        nested = _anything.decode(one.data) if isinstance(one.data, msgspec.Raw) else one.data
        return msgspec.convert(_flattened(one.name, nested), decoder.type, strict=True)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise BadInput(f"the data of '{one.name}' is not {one.datatype}: {_said(exc)}") from exc


def _decoder(datatype_: str) -> msgspec.json.Decoder[Any]:
    if datatype_ == BYTES:
        return _strings
    kind = np.dtype(NUMPY[datatype_]).kind
    return _floats if kind == "f" else _bools if kind == "b" else _ints


def _flattened(name: str, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise BadInput(f"the data of '{name}' is no list")
    nested: list[Any] = data
    for _ in range(MOST_DEPTH):
        if not any(isinstance(one, list) for one in nested):
            return nested
        nested = [each for one in nested for each in (one if isinstance(one, list) else [one])]
    raise BadInput(f"the data of '{name}' is nested too deep", f"a tensor has at most {MOST_DEPTH} axes")


def _read_long(text: bytes) -> InferBody:
    """A long body: lists of numbers become arrays without becoming lists."""
    try:
        document = simdjson.Parser().parse(text)
    except RuntimeError as exc:  # numbers beyond 64 bits, lists too deep in each other
        raise ValueError(str(exc)) from exc
    if not isinstance(document, simdjson.Object):
        raise TypeError("expected an object")
    listed = document.get("inputs")
    if not isinstance(listed, simdjson.Array):
        raise TypeError("inputs is no list")
    tensors = []
    for given in _few(listed):
        if not isinstance(given, simdjson.Object):
            raise TypeError("an input is no object")
        made = msgspec.convert(_fields(given, _OF_TENSOR), TensorBody)
        if "data" in given and made.datatype in KNOWN:
            made.data = _array(given["data"], made.datatype, text)
        tensors.append(made)
    return msgspec.convert({**_fields(document, _OF_REQUEST), "inputs": tensors}, InferBody)


_OF_REQUEST = tuple(field for field in InferBody.__struct_fields__ if field != "inputs")
_OF_TENSOR = tuple(field for field in TensorBody.__struct_fields__ if field != "data")


def _fields(given: simdjson.Object, names: tuple[str, ...]) -> dict[str, Any]:
    """The values of these names alone: the library looks through all names for each, so that asking for all of an
    object with very many would take hours.
    """
    return {name: _plain(given[name]) for name in names if name in given}


def _few(value: Any) -> Any:
    """The value, if it is not so long that it takes more memory than a request is worth."""
    if len(value) > MOST_TENSORS:
        raise ValueError(f"a list or an object has too many elements: {len(value):,}, at most {MOST_TENSORS:,}")
    return value


def _array(data: Any, datatype_: str, text: bytes) -> Any:
    """Numbers as one flat array, and everything else as Python's own values."""
    kind = np.dtype(NUMPY[datatype_]).kind if datatype_ in NUMPY else "O"
    if not isinstance(data, simdjson.Array):
        raise TypeError("data is no list")
    if kind == "f":
        return np.frombuffer(data.as_buffer(of_type="d"), np.float64)
    if kind == "i":
        return np.frombuffer(data.as_buffer(of_type="i"), np.int64)
    if kind == "u":
        return np.frombuffer(data.as_buffer(of_type="u"), np.uint64)
    if text.count(b"[") > MOST_LISTS:
        raise ValueError(f"there are more than {MOST_LISTS:,} lists; send {datatype_} flat, or as binary data")
    return data.as_list()


def _plain(value: Any, deep: int = 4) -> Any:
    """What is no tensor's data, as Python's own values: outputs with their parameters lie deepest in each other."""
    if not isinstance(value, simdjson.Object | simdjson.Array):
        return value
    if not deep:
        raise ValueError("lists and objects lie too deep in each other")
    if isinstance(value, simdjson.Object):
        return {name: _plain(one, deep - 1) for name, one in _few(value).items()}
    return [_plain(one, deep - 1) for one in _few(value)]


def encode(response: Response, request: Request) -> tuple[int | None, bytes]:
    """An answer as an HTTP body, and how many bytes of it are JSON where tensors come behind.

    Raises:
        BadInput: an output is asked for in a form that it does not have.
    """
    binary = {one.name: one.binary for one in request.outputs or () if one.binary is not None}
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name, array in response.outputs.items():
        tensor: dict[str, Any] = {"name": name, "datatype": datatype(array), "shape": array.shape}
        if name in response.places:
            tensor["parameters"] = response.places[name]
        elif binary.get(name, request.binary):
            content = to_bytes(array)
            tensor["parameters"] = {"binary_data_size": len(content)}
            tail.append(content)
        else:
            tensor["data"] = _listed(name, array)
        outputs.append(tensor)
    document: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
    if response.id:
        document["id"] = response.id
    document["outputs"] = outputs
    head = _encoder.encode(document)
    return (len(head), b"".join((head, *tail))) if tail or request.binary else (None, head)


def _listed(name: str, array: np.ndarray) -> list[Any]:
    if array.dtype == object:
        try:
            return [one.decode() for one in array.ravel().tolist()]
        except UnicodeDecodeError as exc:
            raise BadInput(f"the output '{name}' is no text", "ask for it as binary data") from exc
    if array.dtype == np.float16:
        raise BadInput(f"the output '{name}' is FP16, which has no form in JSON", "ask for it as binary data")
    listed: list[Any] = array.ravel().tolist()
    if array.dtype.kind == "f" and not (all(map(isfinite, listed)) if len(listed) <= FEW else np.isfinite(array).all()):
        raise BadInput(
            f"the output '{name}' holds NaN or infinity, which JSON does not have", "ask for it as binary data"
        )
    return listed


def _said(exc: Exception) -> str:
    return "it is nested too deep" if isinstance(exc, RecursionError) else str(exc)[:200]
