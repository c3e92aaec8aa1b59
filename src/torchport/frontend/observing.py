"""Quantisation of an exported graph by observers: torchao's PT2E, which recipes and targets share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def observed(module: torch.nn.Module, quantizer: Any, calls: Iterable[Sequence[torch.Tensor]]) -> torch.fx.GraphModule:
    """An exported graph's module quantised where torchao's `quantizer` marks it, its observers shown the calls'
    arguments.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(module, quantizer)
    with torch.no_grad():
        for call in calls:
            prepared(*call)
    made: torch.fx.GraphModule = convert_pt2e(prepared)
    return made
