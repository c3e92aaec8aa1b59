"""`fp16`: weights stored as 16-bit floats, lowered by the targets that offer it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .base import Recipe

if TYPE_CHECKING:
    from ..capture.program import Program


class Fp16(Recipe):
    """Half-precision weights."""

    name = "fp16"
    about = "weights stored as 16-bit floats: half the size; arithmetic as the device has it"
    precision = "fp16"

    def apply(self, program: Program) -> Program:
        """The same graphs: each target rounds the weights when it writes them, by its own converter."""
        return replace(program, recipe=self.name)
