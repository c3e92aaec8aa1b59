"""`int4_weights`: weights as 4-bit integers in groups with a scale each, made by the target's own quantiser."""

from __future__ import annotations

from .base import TargetRecipe


class Int4Weights(TargetRecipe):
    """4-bit weights in groups: each target's own quantiser and its own products."""

    name = "int4_weights"
    about = "weights as 4-bit integers in groups with a scale each, by the runtime's own quantiser: an eighth of the size, no data needed"
    precision = "int4_weights"
