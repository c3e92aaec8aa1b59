"""The part of an artefact that shows a divergence by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Files were written beside it.

    Attributes:
        reads: names of the values that it reads, from `inputs.safetensors`.
        script: a program that runs it by its runtime alone and tells how far it is from `expected.safetensors`.
    """

    reads: tuple[str, ...]
    script: str
