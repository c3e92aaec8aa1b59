"""`int8_dynamic`: weights as 8-bit integers, made by the target's own quantiser."""

from __future__ import annotations

from .base import TargetRecipe


class Int8Dynamic(TargetRecipe):
    """8-bit weights, and activations rounded to 8 bits as they come: each target's own quantiser."""

    name = "int8_dynamic"
    about = (
        "weights as 8-bit integers, activations rounded to 8 bits at every call by the runtime's own quantiser: no "
        "data needed"
    )
    precision = "int8_dynamic"
