"""What travels between the protocols and the models: requests and answers that no longer know how they came."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Parameter = bool | int | float | str


class Refused(Exception):
    """A request that is answered by an error of the protocol.

    Args:
        status: of HTTP; gRPC's follows from it.
        message: what the client reads.
        headers: that go with it.
    """

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


class Unloaded(Refused):
    """The model was closed after the request found it: another may have taken its place."""

    def __init__(self) -> None:
        super().__init__(503, "the model is being unloaded", (("Retry-After", "1"),))


@dataclass(slots=True)
class Wanted:
    """An output that a client asked for.

    Attributes:
        binary: as bytes behind the JSON; None where the client did not say.
        classes: instead of the numbers, this many of the greatest, each as `value:index:label`; 0 is the numbers.
        region: shared memory to write it to: name, offset, greatest size in bytes.
    """

    name: str
    binary: bool | None = None
    classes: int = 0
    region: tuple[str, int, int] | None = None


@dataclass(slots=True)
class Request:
    """One inference request.

    Attributes:
        inputs: by name; BYTES are arrays of objects.
        outputs: those that were asked for; None is all of them.
        binary: whether outputs that say nothing of it go as bytes.
        begun: when it came, by `time.perf_counter_ns`.
    """

    model: str
    inputs: Mapping[str, np.ndarray]
    version: str = ""
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    outputs: list[Wanted] | None = None
    binary: bool = False
    begun: int = field(default_factory=time.perf_counter_ns)


@dataclass(slots=True)
class Response:
    """The answer to a request: outputs in their order; an array of objects is BYTES.

    Attributes:
        places: output -> where in shared memory it was written, as parameters of the protocol.
    """

    model: str
    version: str
    id: str
    outputs: dict[str, np.ndarray]
    places: dict[str, dict[str, Any]] = field(default_factory=dict)
