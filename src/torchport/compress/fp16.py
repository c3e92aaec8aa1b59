"""`fp16`: weights stored as 16-bit floats, lowered by the targets that offer it."""

from __future__ import annotations

from .base import TargetRecipe


class Fp16(TargetRecipe):
    """Half-precision weights: each target rounds them when it writes them, by its own converter."""

    name = "fp16"
    about = "weights stored as 16-bit floats: half the size; arithmetic as the device has it"
    precision = "fp16"
    plain = True
