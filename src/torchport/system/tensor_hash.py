"""What stands for a set of weights: one hash of all their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def state_hash(state: Mapping[str, torch.Tensor]) -> str:
    """sha256 over the sorted names, dtypes, shapes and bytes of tensors: the same wherever the same numbers are."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu()
        raw = tensor.int_repr() if tensor.is_quantized else tensor
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(raw.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
