"""Messages of the protocol over gRPC, from the compiled `inference.proto`.

They live in a pool of their own: a process that serves may also hold a client, whose messages have the same names.
`inference.binpb` is what `protoc --descriptor_set_out` makes of `inference.proto`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"

_FILE = Path(__file__).with_name("inference.binpb")


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for one in descriptor_pb2.FileDescriptorSet.FromString(_FILE.read_bytes()).file:
        pool.Add(one)
    return pool


POOL = _pool()
"""Descriptors of the service, for reflection too."""


def _classes() -> dict[str, Any]:
    """The class of each message, nested ones too, held for ever: protobuf frees one that nobody holds, and a collection
    of garbage then ended the process under load.
    """
    found, waiting = {}, [*_file().message_types_by_name.values()]
    while waiting:
        one = waiting.pop()
        found[one.full_name] = message_factory.GetMessageClass(one)
        waiting += one.nested_types
    return found


def _file() -> Any:
    return POOL.FindServiceByName(SERVICE).file


_CLASSES = _classes()


def message(name: str) -> Any:
    """The class of a message, such as `ModelInferRequest`."""
    return _CLASSES[f"inference.{name}"]


METHODS = {method.name: method for method in POOL.FindServiceByName(SERVICE).methods}
"""Name of a method -> its descriptor."""
