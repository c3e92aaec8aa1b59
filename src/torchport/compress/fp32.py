"""`fp32`: the model as trained; every other recipe is held against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Recipe, RecipeContext

if TYPE_CHECKING:
    from ..frontend.program import Program


class Fp32(Recipe):
    """The model as trained."""

    name = "fp32"
    about = "as trained, 32-bit floats in storage and arithmetic"
    stage = "module"
    precision = "fp32"
    plain = True

    def apply(self, program: Program, work: RecipeContext, strength: float | None) -> Program:
        """The Program itself."""
        return program
