"""What a request says beside its numbers, however it came: the outputs it wants, and places in shared memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import BadInput
from .datatypes import KNOWN
from .messages import Parameter, Wanted

MOST_TENSORS = 1024
"""Inputs, or outputs, that one request may name."""

REGION = "shared_memory_region"


def need_tensors(inputs: int, outputs: int) -> None:
    """See that a request names some inputs, and not too many tensors; raises BadInput."""
    if not inputs:
        raise BadInput("the request has no inputs", "see the model's metadata for what it takes")
    if inputs > MOST_TENSORS or outputs > MOST_TENSORS:
        raise BadInput("the request names too many tensors", f"at most {MOST_TENSORS:,} inputs, and as many outputs")


def need_once(name: str, inputs: Mapping[str, Any]) -> None:
    """See that an input was not there before; raises BadInput."""
    if name in inputs:
        raise BadInput(f"the input '{name}' occurs twice")


def need_known(name: str, datatype: str) -> None:
    """See that the protocol has a datatype; raises BadInput."""
    if datatype not in KNOWN:
        raise BadInput(f"'{name}' has the datatype {datatype[:20]!r}", f"the datatypes are {', '.join(KNOWN)}")


def place(name: str, given: Mapping[str, Parameter]) -> tuple[str, int, int]:
    """Region, offset and size in bytes of the shared memory that the parameters of a tensor name.

    Raises:
        BadInput: they are no numbers.
    """
    size, offset = given.get("shared_memory_byte_size", 0), given.get("shared_memory_offset", 0)
    if not isinstance(size, int) or not isinstance(offset, int):
        raise BadInput(f"the place of '{name}' in shared memory is no number")
    return str(given[REGION]), offset, size


def wanted(name: str, given: Mapping[str, Parameter]) -> Wanted:
    """An output as its parameters ask for it.

    Raises:
        BadInput: they count no classes, or name no place.
    """
    classes, binary = given.get("classification", 0), given.get("binary_data")
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 0:
        raise BadInput(f"classification of '{name}' is {classes}", "it counts classes")
    return Wanted(
        name, None if binary is None else bool(binary), classes, place(name, given) if REGION in given else None
    )
