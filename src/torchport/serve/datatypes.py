"""The protocol's datatypes beside numpy's, and tensors as its bytes: row-major, little-endian, without padding."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod

import numpy as np

from ..errors import BadInput

BYTES = "BYTES"
"""Texts and files: elements of any length, each behind its length as an unsigned 32-bit integer."""

NUMPY = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
"""Datatype -> numpy dtype. BF16, which numpy lacks, and BYTES are not among them."""

DATATYPES = {dtype: datatype for datatype, dtype in NUMPY.items()}
"""numpy dtype -> datatype."""

_OF_DTYPE: dict[np.dtype, str] = {np.dtype(dtype): datatype for dtype, datatype in DATATYPES.items()}
_OF_DTYPE[np.dtype(object)] = BYTES

KNOWN = (*NUMPY, "BF16", BYTES)

MOST_AXES = 32
MOST_ELEMENTS = 1 << 31


def elements(name: str, shape: Sequence[int]) -> int:
    """How many elements a tensor of that shape has.

    Raises:
        BadInput: the shape is none that an array can have.
    """
    if len(shape) > MOST_AXES:
        raise BadInput(f"'{name}' has {len(shape)} axes", f"a tensor has at most {MOST_AXES}")
    if any(size < 0 for size in shape):
        raise BadInput(f"'{name}' has shape {list(shape)}", "a size is not negative in a request")
    count = prod(shape)
    if count > MOST_ELEMENTS or any(size > MOST_ELEMENTS for size in shape):
        raise BadInput(f"'{name}' has shape {list(shape)}", f"a tensor has at most {MOST_ELEMENTS:,} elements")
    return count


def from_bytes(name: str, datatype: str, shape: Sequence[int], content: bytes | memoryview) -> np.ndarray:
    """A tensor from its bytes, which a numeric one shares.

    Raises:
        BadInput: the bytes are not those of a tensor of that shape and datatype.
    """
    count = elements(name, shape)
    if datatype == BYTES:
        return objects(name, shape, _texts(name, content, count))
    if datatype not in NUMPY:
        known = ", ".join(KNOWN)
        raise BadInput(f"'{name}' is {datatype[:20]}", f"this server computes in none of it; the datatypes are {known}")
    dtype = np.dtype(NUMPY[datatype]).newbyteorder("<")
    if len(content) != count * dtype.itemsize:
        raise BadInput(
            f"'{name}' has {len(content):,} bytes",
            f"{datatype}{list(shape)} has {count * dtype.itemsize:,}",
        )
    array = np.frombuffer(content, dtype).reshape(shape)
    if datatype == "BOOL" and count and array.view(np.uint8).max() > 1:
        raise BadInput(f"'{name}' holds bytes beyond 0 and 1", "a BOOL is one byte, 0 or 1")
    return array


def to_bytes(array: np.ndarray) -> bytes:
    """A tensor as its bytes; of objects, each is bytes."""
    if array.dtype == object:
        return b"".join(struct.pack("<I", len(one)) + one for one in array.ravel().tolist())
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def objects(name: str, shape: Sequence[int], values: Sequence[bytes] | Sequence[str]) -> np.ndarray:
    """A BYTES tensor: an array of objects, each bytes, or each the text that JSON has of them.

    Raises:
        BadInput: there are more or fewer than the shape has.
    """
    if len(values) != elements(name, shape):
        raise BadInput(f"'{name}' has {len(values)} elements", f"its shape {list(shape)} has {prod(shape)}")
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape)


def datatype_of(array: np.ndarray) -> str:
    """The protocol's name of an array's elements."""
    return _OF_DTYPE[array.dtype]


def _texts(name: str, content: bytes | memoryview, count: int) -> list[bytes]:
    view, place = memoryview(content), 0
    found: list[bytes] = []
    while place < len(view):
        if len(found) >= count or place + 4 > len(view):
            break
        (size,) = struct.unpack_from("<I", view, place)
        if place + 4 + size > len(view):
            break
        found.append(bytes(view[place + 4 : place + 4 + size]))
        place += 4 + size
    if place != len(view) or len(found) != count:
        raise BadInput(
            f"'{name}' is no BYTES tensor of {count} elements: {len(found)} were found in {len(view):,} bytes",
            "write each element's length as an unsigned 32-bit integer before it",
        )
    return found
