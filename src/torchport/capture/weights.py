"""Weights into a model: what must fit, what is said when it does not, and a hash that only the numbers decide."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import WeightsError

if TYPE_CHECKING:
    import torch

SHOWN = 3
"""How many keys of each kind an error names."""


def fit(module: torch.nn.Module, weights: Mapping[str, torch.Tensor], file: str) -> None:
    """Load weights into a model, every tensor in its place.

    Two keys may be left out: one that shares its tensor with a key that is there (tied weights), and BatchNorm's counter
    of training steps, which no prediction reads.

    Args:
        file: how errors call the weights.

    Raises:
        WeightsError: counts the missing, unexpected and mis-shaped keys, and names the first of each.
    """
    own = module.state_dict()
    there = {own[key].data_ptr() for key in weights if key in own}
    missing = [key for key in own if key not in weights and own[key].data_ptr() not in there and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in weights if key not in own]
    shapes = [f"{key}: {list(weights[key].shape)} for {list(own[key].shape)}" for key in weights if key in own and weights[key].shape != own[key].shape]
    wrong = [_listed(kind, keys) for kind, keys in (("missing", missing), ("unexpected", unexpected), ("mis-shaped", shapes)) if keys]
    if wrong:
        raise WeightsError(f"{file} does not fit {type(module).__name__}: {', '.join(wrong)}", _hint(missing, unexpected))
    module.load_state_dict(dict(weights), strict=False)


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


def _listed(kind: str, keys: Sequence[str]) -> str:
    more = ", ..." if len(keys) > SHOWN else ""
    return f"{len(keys)} {kind} ({', '.join(keys[:SHOWN])}{more})"


def _hint(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    for key in unexpected:
        wanted = next((own for own in missing if key.endswith(f".{own}")), None)
        if wanted:
            return f"the keys have the prefix '{key.removesuffix(wanted)}': take it off, or name the model that has it"
    return "build the model these weights come from (--arg name=value)"
