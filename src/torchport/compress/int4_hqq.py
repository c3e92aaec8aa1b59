"""`int4_hqq@group`: weights as 4-bit integers in groups, whose zeros are moved until the few large errors are small; no
data is needed.

Half-quadratic quantisation (Badri & Shaji 2023), by the target's own quantiser.
"""

from __future__ import annotations

from .int4_weights import Int4Weights


class Int4Hqq(Int4Weights):
    """4-bit weights in groups with fitted zeros."""

    name = "int4_hqq"
    about = (
        "4-bit weights in groups with fitted zeros (HQQ) by the runtime's own quantiser: an eighth of the size, no "
        "data needed"
    )
    precision = "int4_hqq"
