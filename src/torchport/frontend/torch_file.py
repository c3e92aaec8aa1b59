"""The object in a file of torch.save, or of pickle.dump, read without running it (build half); see `unpickle`."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from .rebuild import Storage, storage_dtype
from .unpickle import Unpickler

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""How the older form of torch.save begins: these two, and what machine wrote it, each a pickle of its own."""

ARCHIVE = b"PK\x03\x04"
LONGEST_PICKLE = 2**30
"""Bytes of the pickle in an archive; the tensors' numbers lie outside of it."""


LONGEST_RATIO = 50
"""How many times its packed size a part of an archive may have; torch.save packs nothing."""


@dataclass(frozen=True)
class Unpickled:
    """The object of a file, and the names that it would have imported."""

    root: Any
    names: tuple[str, ...]


def unpickle_file(path: Path) -> Unpickled:
    """Read an archive, the older form of torch.save, or a plain pickle.

    Raises:
        pickle.UnpicklingError: it does what no checkpoint needs.
        Exception: it is damaged; any kind.
    """
    with path.open("rb") as file:
        return _from(file)


def _from(file: BinaryIO) -> Unpickled:
    archived = file.read(4) == ARCHIVE
    file.seek(0)
    return _from_archive(file) if archived else _from_stream(file)


def _from_archive(file: BinaryIO) -> Unpickled:
    with zipfile.ZipFile(file) as archive:
        name = next(name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl"))
        folder, members = name.removesuffix("data.pkl"), {one.filename: one for one in archive.infolist()}
        if members[name].file_size > LONGEST_PICKLE:
            raise pickle.UnpicklingError("its pickle is longer than that of any checkpoint")
        if any(one.file_size > LONGEST_RATIO * max(one.compress_size, 2**20) for one in members.values()):
            raise pickle.UnpicklingError("it unpacks to far more than it holds")
        swapped = f"{folder}byteorder" in members and archive.read(f"{folder}byteorder") == b"big"
        known: dict[str, Storage] = {}

        def storage(reference: tuple[Any, ...]) -> Storage:
            _, kind, key, _, count = reference
            if key not in known:
                dtype, member = _dtype_of(kind), members[f"{folder}data/{key}"]
                if member.file_size < count * dtype.itemsize:
                    raise pickle.UnpicklingError("a storage shorter than its tensors")
                known[key] = Storage(dtype, _raw(archive.read(member)))
                if swapped and dtype.itemsize > 1:
                    known[key].raw.byteswap(dtype)  # type: ignore[no-untyped-call]
            return known[key]

        reader = Unpickler(io.BytesIO(archive.read(name)), storage, _nested)
        return Unpickled(reader.load(), tuple(reader.names))


def _from_stream(file: BinaryIO) -> Unpickled:
    """A plain pickle, or four pickles and the numbers of every storage, one after another."""
    first = _plain(file)
    if first.root != MAGIC:
        return first
    if _plain(file).root != PROTOCOL:
        raise pickle.UnpicklingError("a file of torch.save of an unknown version")
    _plain(file)
    room, known = _length(file), dict[str, Storage]()

    def storage(reference: tuple[Any, ...]) -> Storage:
        _, kind, key, _, count, *view = reference
        if key not in known:
            dtype = _dtype_of(kind)
            if type(count) is not int or not 0 <= count * dtype.itemsize <= room:
                raise pickle.UnpicklingError("a storage longer than its file")
            known[key] = Storage(dtype, _raw(bytes(count * dtype.itemsize)))
        start = view[0][1] if view and view[0] is not None else 0
        if type(start) is not int or start < 0:
            raise pickle.UnpicklingError("a part of a storage that is none")
        return Storage(known[key].dtype, known[key].raw, start)

    reader = Unpickler(file, storage, _nested)
    root = reader.load()
    for key in _plain(file).root:
        count = struct.unpack("<q", file.read(8))[0]
        raw = file.read(known[key].raw.nbytes())
        if count * known[key].dtype.itemsize != len(raw):
            raise EOFError("it ends in the middle of a tensor")
        known[key].raw.copy_(_raw(raw))
    return Unpickled(root, tuple(reader.names))


def _plain(file: BinaryIO) -> Unpickled:
    reader = Unpickler(file, _no_storage, _nested)
    return Unpickled(reader.load(), tuple(reader.names))


def _nested(raw: Any) -> Any:
    """The storage that pickle.dump wrote for a tensor: a file of torch.save within the file, with no other in it."""
    if not isinstance(raw, bytes | bytearray):
        raise pickle.UnpicklingError("a tensor whose numbers are not bytes")
    found = _from(io.BytesIO(raw)).root
    if not isinstance(found, Storage):
        raise pickle.UnpicklingError("a storage that is none")
    return found


def _no_storage(reference: tuple[Any, ...]) -> Storage:
    raise pickle.UnpicklingError("a pickle that refers to numbers it does not hold")


def _dtype_of(kind: Any) -> torch.dtype:
    dtype = storage_dtype(kind) if isinstance(kind, str) else None
    if dtype is None:
        raise pickle.UnpicklingError("a storage of an unknown kind of number")
    return dtype


def _raw(content: bytes) -> torch.UntypedStorage:
    return (
        torch.frombuffer(bytearray(content), dtype=torch.uint8).untyped_storage()
        if content
        else torch.empty(0).untyped_storage()
    )


def _length(file: BinaryIO) -> int:
    here = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(here)
    return end
