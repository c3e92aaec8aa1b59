"""Inference requests and answers as messages of gRPC. Answers hold their tensors as bytes, which every client reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import BadInput
from .datatypes import BYTES, NUMPY, datatype_of, elements, from_bytes, objects, to_bytes
from .messages import Parameter, Request, Response
from .parameters import REGION, need_known, need_once, need_tensors, place, wanted
from .protocol import message
from .rest import Region

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
    need_tensors(len(asked.inputs), len(asked.outputs))
    raws = asked.raw_input_contents
    sent = [one.name for one in asked.inputs if REGION not in one.parameters]
    if raws and len(raws) != len(sent):
        raise BadInput(f"there are {len(sent)} inputs and {len(raws)} raw_input_contents", "give one for each")
    rest = iter(raws)
    inputs: dict[str, np.ndarray] = {}
    for one in asked.inputs:
        need_once(one.name, inputs)
        if REGION in one.parameters:
            content = region(*place(one.name, _parameters(one.parameters)))
            inputs[one.name] = from_bytes(one.name, one.datatype, list(one.shape), content)
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
        [wanted(one.name, _parameters(one.parameters)) for one in asked.outputs] or None,
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
    need_known(one.name, one.datatype)
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
