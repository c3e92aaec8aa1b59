"""The greatest sizes that a target plans for where the signature sets none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...types import Signature

if TYPE_CHECKING:
    from ..base import ExportOptions


def greatest(signature: Signature, options: ExportOptions) -> dict[str, int]:
    """Dynamic dimension -> the greatest size to plan for: the signature's own bound, else that of the options."""
    most = {}
    for dim, bound in signature.dims.items():
        if dim == "batch":
            most[dim] = min(options.max_batch, bound.max or options.max_batch)
        else:
            most[dim] = bound.max or max(bound.nearest(options.max_size), bound.nearest(2 * bound.min))
    return most
