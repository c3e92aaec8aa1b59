"""A model's configuration as Triton's clients and tools read it."""

from __future__ import annotations

from typing import Any

from .datatypes import BYTES
from .faces import Face

TYPES = {
    "BOOL": "TYPE_BOOL",
    BYTES: "TYPE_STRING",
    **{
        name: f"TYPE_{name}"
        for name in (
            "UINT8",
            "UINT16",
            "UINT32",
            "UINT64",
            "INT8",
            "INT16",
            "INT32",
            "INT64",
            "FP16",
            "FP32",
            "FP64",
            "BF16",
        )
    },
}
"""Datatype of the protocol -> name in a configuration."""


def config(face: Face) -> dict[str, Any]:
    """The configuration of a model; `max_batch_size` is 0 where not every tensor has a batch axis."""
    tensors = [*face.inputs, *face.outputs]
    batched = all(one["shape"][:1] == [-1] for one in tensors)
    settings = face.loaded.settings
    made: dict[str, Any] = {
        "name": face.name,
        "platform": "torchport",
        "backend": "torchport",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": settings.most_items if batched else 0,
        "input": [_tensor(one, batched) for one in face.inputs],
        "output": [_tensor(one, batched) for one in face.outputs],
        "instance_group": [{"name": face.name, "count": settings.instances, "kind": "KIND_CPU"}],
        "parameters": {"variant": {"string_value": face.loaded.predictor.variant.id}},
    }
    if batched:
        made["dynamic_batching"] = {"preferred_batch_size": [settings.batch], "max_queue_delay_microseconds": 0}
    return made


def _tensor(one: dict[str, Any], batched: bool) -> dict[str, Any]:
    return {
        "name": one["name"],
        "data_type": TYPES[one["datatype"]],
        "dims": one["shape"][1:] if batched else one["shape"],
    }
