"""`int4_hqq`: weights as 4-bit integers in groups, whose zeros are moved until the few large errors are small; no data is needed.

Half-quadratic quantisation (Badri & Shaji 2023), by the target's own quantiser.
"""

from __future__ import annotations

from .base import TargetRecipe


class Int4Hqq(TargetRecipe):
    """4-bit weights in groups with fitted zeros."""

    name = "int4_hqq"
    about = "4-bit weights in groups with fitted zeros (HQQ) by the runtime's own quantiser: an eighth of the size, no data needed"
    precision = "int4_hqq"
