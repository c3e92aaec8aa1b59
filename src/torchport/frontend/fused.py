"""Transformer layers have two paths in torch, which answer masks differently: a model of which that shows is
refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..errors import CaptureError
from .binding import Call, bind
from .modes import fused_attention
from .nature import different
from .program import Arrays, flatten_outputs

_LAYERS = (torch.nn.MultiheadAttention, torch.nn.TransformerEncoderLayer, torch.nn.TransformerEncoder)


def refuse_two_answers(module: torch.nn.Module, examples: Arrays) -> None:
    """See that torch's fused inference path answers the examples, and masks of them, as the plain path does.

    A Bundle can only follow the plain path: the fused one is a single operator that no runtime has. It answers zeros, a
    shorter tensor or NaN where a mask leaves positions out. Where the user's own code switches the fused path off, the
    plain one is what the user means, and nothing is tried.

    Args:
        examples: a batched feed, keyed as `bind` takes it.

    Raises:
        CaptureError: the two differ; names the mask on which they do.
    """
    if not torch.backends.mha.get_fastpath_enabled() or not any(isinstance(part, _LAYERS) for part in module.modules()):
        return
    call = bind(module, examples)
    for said, feed in _masks(call.feed):
        name = _differing(call, feed)
        if name is not None:
            raise CaptureError(
                f"torch answers this model in two ways {said}: '{name}' of its fused inference path differs from that "
                "of its plain one",
                "call torch.backends.mha.set_fastpath_enabled(False) in the model's file: then the plain path is what "
                "is meant, and deployed",
            )


def _differing(call: Call, feed: Arrays) -> str | None:
    """The output that the two paths answer differently; None where there is none, or the model does not take such a
    mask.
    """
    try:
        plain = flatten_outputs(call.run(feed))
        with fused_attention():
            fused = flatten_outputs(call.run(feed))
    except Exception:  # the code of a stranger's model
        return None
    return next((name for name, value in plain.items() if not _same(value, fused[name])), None)


def _masks(feed: Arrays) -> Iterator[tuple[str, Arrays]]:
    """The examples, and with each mask changed: a row all of one value, and its second half."""
    yield "on the examples", dict(feed)
    for name, array in feed.items():
        if array.ndim < 2 or array.dtype.kind not in "bui" or not np.isin(array, (0, 1)).all():
            continue
        for value in (0, 1):
            row, half = array.copy(), array.copy()
            row[0], half[0, ..., half.shape[-1] // 2 :] = value, value
            yield (
                f"where a row of '{name}' is all {bool(value) if array.dtype.kind == 'b' else value}",
                {**feed, name: row},
            )
            yield (
                f"where half of a row of '{name}' is {bool(value) if array.dtype.kind == 'b' else value}",
                {**feed, name: half},
            )


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two answers count as the same, NaN in the same places included."""
    return not different(a, b) and torch.equal(a.isnan(), b.isnan())
