"""Attention under masks, tried with rows that leave everything out: what a converter that masks with the least finite
number gets wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody calls it so

X = "x:float32[batch,time,8]"
KEYS = "mask:bool[batch,time]"
PAIRS = "mask:bool[batch,1,time,time]"
FLOATS = "mask:float32[batch,1,time,time]"


@dataclass(frozen=True)
class Masked:
    """One module of `x` and `mask`; `out` is the value of a mask's element that leaves out, `keep` of one that does
    not.
    """

    make: Callable[[], nn.Module]
    inputs: Sequence[str]
    out: float
    keep: float = 0.0


class Fused(nn.Module):
    """torch's own attention, in two heads."""

    def __init__(self, causal: bool = False, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        if mask.ndim == 2:
            mask = mask[:, None, None]
        if self.causal:
            mask = mask & torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        return F.scaled_dot_product_attention(q, q, q, attn_mask=mask).transpose(1, 2).flatten(2)


class Written(nn.Module):
    """Attention as people write it: scores filled with a number, then softmax."""

    def __init__(self, fill: float, safe: bool = False) -> None:
        super().__init__()
        self.fill, self.safe = fill, safe

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        scores = (x @ x.transpose(1, 2) / math.sqrt(8)).masked_fill(mask[:, None], self.fill)
        weights = torch.softmax(scores, -1)
        return torch.nan_to_num(weights) @ x if self.safe else weights @ x


class Heads(nn.Module):
    """nn.MultiheadAttention with its key-padding mask, which is True where a key is left out."""

    def __init__(self, weights: bool) -> None:
        super().__init__()
        self.net, self.weights = nn.MultiheadAttention(8, 2, batch_first=True), weights

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.net(x, x, x, key_padding_mask=mask, need_weights=self.weights)[0]
        return found


class Encoded(nn.Module):
    """nn.TransformerEncoder with its key-padding mask."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.net(x, src_key_padding_mask=mask)
        return found


class Pooled(nn.Module):
    """A mean over what the mask keeps; nothing where it keeps nothing."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        kept = mask[..., None].to(x.dtype)
        return (x * kept).sum(1) / kept.sum(1).clamp(min=1)


MASKED: dict[str, Masked] = {
    "fused_bool": Masked(Fused, (X, PAIRS), 0, 1),
    "fused_keys": Masked(Fused, (X, KEYS), 0, 1),
    "fused_keys_causal": Masked(lambda: Fused(causal=True), (X, KEYS), 0, 1),
    "fused_float": Masked(Fused, (X, FLOATS), -math.inf),
    "multihead": Masked(lambda: Heads(False), (X, KEYS), 1),
    "multihead_with_weights": Masked(lambda: Heads(True), (X, KEYS), 1),
    "encoder": Masked(Encoded, (X, KEYS), 1),
    "written_infinite": Masked(lambda: Written(-math.inf), (X, KEYS), 1),
    "written_safe": Masked(lambda: Written(-math.inf, safe=True), (X, KEYS), 1),
    "written_least": Masked(lambda: Written(torch.finfo(torch.float32).min), (X, KEYS), 1),
    "written_large": Masked(lambda: Written(-1e9), (X, KEYS), 1),
    "pooled": Masked(Pooled, (X, KEYS), 0, 1),
}
