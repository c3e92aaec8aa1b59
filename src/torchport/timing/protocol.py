"""What the timing process and its children say to each other: one JSON object a line.

A child reads commands on standard input and answers each with one line. It imports nothing but what its runtime needs.
"""

from __future__ import annotations

import msgspec

from ..tasks.plan import PlanRecord
from ..types import Artifact, Signature, Used


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """Import the runtime and read the input: a graph's feed (safetensors), or with a chain the raw bytes of an item.
    Answered by Ready.

    Attributes:
        chain: the whole chain to time, for models of several graphs.
    """

    target: str
    imports: tuple[str, ...]
    feed: str
    chain: PlanRecord | None = None


class Open(msgspec.Struct, frozen=True, tag=True):
    """Open the artefact and warm it up; answered by Opened."""

    artifact: Artifact
    folder: str
    signature: Signature
    graph: str
    device: str
    threads: int | None


class Turn(msgspec.Struct, frozen=True, tag=True):
    """Time this many calls; answered by Times."""

    calls: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The runtime is imported."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The artefact answers: how long a warm call takes, what really runs, and the memory it took to get here."""

    call_ms: float
    used: Used
    memory_bytes: int | None


class Times(msgspec.Struct, frozen=True, tag=True):
    """One time a call, in milliseconds, in order."""

    ms: tuple[float, ...]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The command failed, in words; the child is of no more use."""

    error: str


Command = Prepare | Open | Turn
Answer = Ready | Opened | Times | Failed

_encoder = msgspec.json.Encoder()
_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def line(message: Command | Answer) -> bytes:
    """A message as one line."""
    return _encoder.encode(message) + b"\n"


def command(text: bytes) -> Command:
    """The command in a line."""
    return _commands.decode(text)


def answer(text: bytes) -> Answer:
    """The answer in a line."""
    return _answers.decode(text)
