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


def message(name: str) -> Any:
    """The class of a message, such as `ModelInferRequest`."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"inference.{name}"))


METHODS = {method.name: method for method in POOL.FindServiceByName(SERVICE).methods}
"""Name of a method -> its descriptor."""
