"""`bf16`: matrix multiplications in bfloat16, by the targets and on the CPUs that have them."""

from __future__ import annotations

from .base import TargetRecipe


class Bf16(TargetRecipe):
    """bfloat16 arithmetic: the runtime rounds weights and activations as it multiplies them."""

    name = "bf16"
    about = "arithmetic in bfloat16 where the CPU has it, weights stored in 16 bits: half the size"
    precision = "bf16"
    joins = True
