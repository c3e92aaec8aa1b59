"""`int4_awq@group`: weights as 4-bit integers in groups, whose scales are fitted to what the calibration data
multiplies them by.

Weights that meet large activations are scaled up before they are rounded (Lin et al. 2023, AWQ), then each group's
scale is chosen by the error of the product, not of the weight. Both are the target's own quantiser's.
"""

from __future__ import annotations

from .int4_weights import Int4Weights


class Int4Awq(Int4Weights):
    """4-bit weights in groups, fitted to calibration data."""

    name = "int4_awq"
    about = (
        "4-bit weights in groups, scales fitted to calibration data (AWQ) by the runtime's own quantiser: an eighth of "
        "the size"
    )
    precision = "int4_awq"
    needs_data = True
