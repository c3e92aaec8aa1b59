"""Tensors as a client has them: made up from a model's metadata, written into requests, read from answers."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from ..errors import BadInput
from ..serve.datatypes import BYTES, KNOWN, NUMPY, from_bytes, objects, to_bytes
from .verdicts import Differs, NotOffered, expect

BINARY_ONLY = ("FP16", "BF16")
"""Datatypes without a form in JSON and in gRPC's typed contents."""


class Tensor(NamedTuple):
    """A tensor with its values: BF16 as the unsigned numbers of its bits, BYTES as objects."""

    name: str
    datatype: str
    array: np.ndarray

    @property
    def content(self) -> bytes:
        """Its bytes."""
        return to_bytes(self.array)

    def described(self) -> dict[str, Any]:
        """Name, shape and datatype as JSON has them."""
        return {"name": self.name, "shape": list(self.array.shape), "datatype": self.datatype}

    def listed(self, *, nested: bool = False) -> list[Any]:
        """Its values as JSON has them."""
        array = self.array
        if self.datatype == BYTES:
            try:
                texts = [one.decode() for one in array.ravel().tolist()]
            except UnicodeDecodeError as exc:
                raise NotOffered(f"'{self.name}' takes files, which are no text in JSON") from exc
            array = objects(self.name, array.shape, texts)
        listed: list[Any] = array.tolist() if nested else array.ravel().tolist()
        return listed


class Spec(NamedTuple):
    """A tensor of a model's metadata; -1 is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a tensor may have that shape."""
        return len(shape) == len(self.shape) and all(a in (-1, b) for a, b in zip(self.shape, shape, strict=True))

    def made(self, size: int, element: bytes) -> Tensor:
        """Small numbers in the tensor's shape, with `size` for every free one; of BYTES the element."""
        shape = [size if one < 0 else one for one in self.shape]
        count = prod(shape)
        if self.datatype == BYTES:
            return Tensor(self.name, BYTES, objects(self.name, shape, [element] * count))
        dtype = np.dtype(NUMPY.get(self.datatype, "uint16"))
        numbers = np.arange(count) % 2
        if self.datatype == "BF16":
            numbers = numbers * 0x3F80  # the bits of one
        return Tensor(self.name, self.datatype, numbers.astype(dtype).reshape(shape))


class Model(NamedTuple):
    """A model by its metadata."""

    name: str
    versions: tuple[str, ...]
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]

    @property
    def path(self) -> str:
        """Of its own, below the server's."""
        return f"v2/models/{quote(self.name, safe='')}"

    def made(self, size: int, element: bytes) -> list[Tensor]:
        """An input of each."""
        return [one.made(size, element) for one in self.inputs]

    @property
    def datatypes(self) -> set[str]:
        """Of its inputs and outputs."""
        return {one.datatype for one in (*self.inputs, *self.outputs)}


def specs(listed: Any, of: str) -> tuple[Spec, ...]:
    """Inputs or outputs of a model's metadata; raises Differs where they are not as the protocol has them."""
    expect(isinstance(listed, list) and listed, f"the {of} are no list, or an empty one")
    found = []
    for one in listed:
        expect(isinstance(one, dict) and isinstance(one.get("name"), str), f"one of the {of} has no name")
        name, datatype, shape = one["name"], one.get("datatype"), one.get("shape")
        expect(datatype in KNOWN, f"'{name}' has the datatype {datatype!r}")
        sizes = isinstance(shape, list) and all(type(size) is int and size >= -1 for size in shape)
        expect(sizes, f"'{name}' has the shape {shape!r}")
        found.append(Spec(name, datatype, tuple(shape)))
    return tuple(found)


def elements() -> tuple[bytes, ...]:
    """What an element of BYTES may be for a model to answer it: a number, a picture, a recording."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(32_000))
    return b"1", _picture(32), sound.getvalue()


def read(name: str, datatype: str, shape: Sequence[int], content: bytes) -> Tensor:
    """A tensor from its bytes; raises Differs."""
    try:
        if datatype == "BF16":
            expect(len(content) == 2 * prod(shape), f"'{name}' has {len(content):,} bytes for {list(shape)} of BF16")
            return Tensor(name, datatype, np.frombuffer(content, "<u2").reshape(shape))
        return Tensor(name, datatype, from_bytes(name, datatype, shape, content))
    except BadInput as exc:
        raise Differs(exc.line) from exc


def unlisted(name: str, datatype: str, shape: Sequence[int], data: Any) -> Tensor:
    """A tensor from its JSON, flat or nested; raises Differs."""
    expect(datatype not in BINARY_ONLY, f"'{name}' is {datatype} and comes as JSON, which has no form of it")
    expect(isinstance(data, list), f"the data of '{name}' is no list")
    flat: list[Any] = data
    while any(isinstance(one, list) for one in flat):
        flat = [each for one in flat for each in (one if isinstance(one, list) else [one])]
    expect(len(flat) == prod(shape), f"'{name}' has {len(flat):,} elements and the shape {list(shape)}")
    kinds = {BYTES: (str,), "BOOL": (bool,), "FP32": (int, float), "FP64": (int, float)}.get(datatype, (int,))
    wrong = next((one for one in flat if type(one) not in kinds), None)
    expect(wrong is None, f"'{name}' is {datatype} and holds {wrong!r}")
    if datatype == BYTES:
        return Tensor(name, BYTES, objects(name, shape, [one.encode() for one in flat]))
    try:
        return Tensor(name, datatype, np.array(flat, NUMPY[datatype]).reshape(shape))
    except OverflowError as exc:
        raise Differs(f"'{name}' holds a number beyond {datatype}") from exc


def same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], of: str) -> None:
    """Raises Differs where two answers to the same inputs are not the same, but for the rounding of numbers."""
    expect(sorted(found) == sorted(wanted), f"{of} has the outputs {sorted(found)} instead of {sorted(wanted)}")
    for name, one in found.items():
        other = wanted[name]
        expect(one.datatype == other.datatype, f"{of} has '{name}' as {one.datatype} instead of {other.datatype}")
        shapes = one.array.shape, other.array.shape
        expect(shapes[0] == shapes[1], f"{of} has '{name}' in the shape {list(shapes[0])} instead of {list(shapes[1])}")
        if one.array.dtype.kind == "f":
            alike = np.allclose(one.array, other.array, rtol=1e-3, atol=1e-4, equal_nan=True)
        else:
            alike = bool((one.array == other.array).all())
        expect(alike, f"{of} has other values in '{name}'")


def _picture(side: int) -> bytes:
    """A grey PNG."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + bytes([128]) * (3 * side) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
