"""Inference requests and answers as messages of gRPC. Answers hold their tensors as bytes, which every client reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import BadInput
from .datatypes import BYTES, KNOWN, NUMPY, datatype_of, elements, from_bytes, objects, to_bytes
from .messages import Parameter, Request, Response, Wanted
from .protocol import message
from .rest import MOST_TENSORS, Region

_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""Datatype -> field of the typed contents."""

_Response = message("ModelInferResponse")


def decode(asked: Any, region: Region) -> Request:
    """A request from its message.

    Args:
        region: reads shared memory.

    Raises:
        BadInput: tensors and their bytes do not fit.
    """
    if not asked.inputs:
        raise BadInput("the request has no inputs", "see the model's metadata for what it takes")
    if len(asked.inputs) > MOST_TENSORS or len(asked.outputs) > MOST_TENSORS:
        raise BadInput("the request names too many tensors", f"at most {MOST_TENSORS:,} inputs, and as many outputs")
    raws = asked.raw_input_contents
    sent = [one.name for one in asked.inputs if "shared_memory_region" not in one.parameters]
    if raws and len(raws) != len(sent):
        raise BadInput(f"there are {len(sent)} inputs and {len(raws)} raw_input_contents", "give one for each")
    rest = iter(raws)
    inputs: dict[str, np.ndarray] = {}
    for one in asked.inputs:
        if one.name in inputs:
            raise BadInput(f"the input '{one.name}' occurs twice")
        if "shared_memory_region" in one.parameters:
            inputs[one.name] = from_bytes(one.name, one.datatype, list(one.shape), region(*_place(one)))
        elif raws:
            if one.HasField("contents"):
                raise BadInput(f"'{one.name}' has contents beside raw_input_contents", "give one of them")
            inputs[one.name] = from_bytes(one.name, one.datatype, list(one.shape), next(rest))
        else:
            inputs[one.name] = _typed(one)
    return Request(
        asked.model_name,
        inputs,
        asked.model_version,
        asked.id,
        _parameters(asked.parameters),
        [_wanted(one) for one in asked.outputs] or None,
    )


def encode(response: Response) -> Any:
    """An answer as its message."""
    made = _Response(model_name=response.model, model_version=response.version, id=response.id)
    for name, array in response.outputs.items():
        output = made.outputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
        for key, value in response.places.get(name, {}).items():
            choice = "string_param" if isinstance(value, str) else "int64_param"
            setattr(output.parameters[key], choice, value)
        if name not in response.places:
            made.raw_output_contents.append(to_bytes(array))
    return made


def _typed(one: Any) -> np.ndarray:
    if one.datatype not in KNOWN:
        raise BadInput(f"'{one.name}' has the datatype {one.datatype[:20]!r}", f"the datatypes are {', '.join(KNOWN)}")
    if one.datatype not in _FIELDS:
        raise BadInput(f"'{one.name}' is {one.datatype}, which has no typed contents", "send raw_input_contents")
    field, shape = _FIELDS[one.datatype], list(one.shape)
    other = next((known.name for known, _ in one.contents.ListFields() if known.name != field), None)
    if other is not None:
        raise BadInput(f"'{one.name}' is {one.datatype} and has {other}", f"give {field}")
    values = getattr(one.contents, field)
    if one.datatype == BYTES:
        return objects(one.name, shape, list(values))
    if len(values) != elements(one.name, shape):
        raise BadInput(f"'{one.name}' has {len(values):,} elements", f"its shape is {shape}")
    try:
        return np.array(values, NUMPY[one.datatype]).reshape(shape)
    except (OverflowError, ValueError) as exc:
        raise BadInput(f"'{one.name}' holds a value that {one.datatype} does not", str(exc)) from exc


def _parameters(given: Any) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for name, one in given.items():
        kind = one.WhichOneof("parameter_choice")
        if kind is not None:
            found[name] = getattr(one, kind)
    return found


def _wanted(one: Any) -> Wanted:
    given = _parameters(one.parameters)
    classes = given.get("classification", 0)
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 0:
        raise BadInput(f"classification of '{one.name}' is {classes}", "it counts classes")
    return Wanted(one.name, True, classes, _place(one) if "shared_memory_region" in given else None)


def _place(one: Any) -> tuple[str, int, int]:
    """Name, offset and size of the shared memory that a tensor names."""
    given = _parameters(one.parameters)
    size, offset = given.get("shared_memory_byte_size", 0), given.get("shared_memory_offset", 0)
    if not isinstance(size, int) or not isinstance(offset, int):
        raise BadInput(f"the place of '{one.name}' in shared memory is no number")
    return str(given["shared_memory_region"]), offset, size
