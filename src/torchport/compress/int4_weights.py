"""`int4_weights@group`: weights as 4-bit integers, so many of which share a scale, made by the target's own quantiser.

Small groups keep the answers nearer and large ones make the file smaller; 64 goes without saying (decision 0012).
"""

from __future__ import annotations

from ..targets.base import GROUP
from .base import TargetRecipe


class Int4Weights(TargetRecipe):
    """4-bit weights in groups: each target's own quantiser and its own matrix multiplications."""

    name = "int4_weights"
    about = (
        "weights as 4-bit integers in groups with a scale each, by the runtime's own quantiser: an eighth of the size, "
        "no data needed"
    )
    precision = "int4_weights"
    strengths = (32, GROUP, 128)
    usual = GROUP
