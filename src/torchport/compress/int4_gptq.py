"""`int4_gptq@group`: weights as 4-bit integers in groups, rounded one after the other so that each makes good what
those before it lost.

The order and the amends come from the second derivative of a product's error on the calibration data (Frantar et al.
2023, GPTQ). It is the target's own quantiser's.
"""

from __future__ import annotations

from .int4_weights import Int4Weights


class Int4Gptq(Int4Weights):
    """4-bit weights in groups, rounded by what calibration data makes of them."""

    name = "int4_gptq"
    about = (
        "4-bit weights in groups, rounded one by one to fit calibration data (GPTQ) by the runtime's own quantiser: an "
        "eighth of the size"
    )
    precision = "int4_gptq"
    needs_data = True
