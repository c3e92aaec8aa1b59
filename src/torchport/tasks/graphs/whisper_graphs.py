"""Whisper taken apart: an encoder that ends in every layer's cross-attention keys and values, and a decoder step that
carries its cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

FORBIDDEN = -1e4
"""Added to a logit that must not win; far below any logit, and within half precision."""


class Encoder(torch.nn.Module):
    """`features` float32 [1, bands, frames] -> `key_N` [1, heads, width, positions] and `value_N` [1, heads, positions,
    width] of each decoder layer N.

    Positions are half the frames. Keys lie as a step multiplies by them. Whisper is trained on 30 s (3000 frames, the
    most); fewer frames are a shorter context than that.

    Args:
        model: `transformers.WhisperForConditionalGeneration`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder: Any = model.model.encoder
        self.attentions: Any = torch.nn.ModuleList(layer.encoder_attn for layer in model.model.decoder.layers)

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """See the class."""
        hidden = functional.gelu(self.encoder.conv1(features))
        hidden = functional.gelu(self.encoder.conv2(hidden)).transpose(1, 2)
        hidden = hidden + self.encoder.embed_positions.weight[: hidden.shape[1]]
        for layer in self.encoder.layers:
            normal = layer.self_attn_layer_norm(hidden)
            attention = layer.self_attn
            query, key, value = (
                _heads(project(normal), attention.num_heads)
                for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            hidden = hidden + attention.out_proj(_joined(functional.scaled_dot_product_attention(query, key, value)))
            hidden = hidden + _forward(layer, hidden)
        hidden = self.encoder.layer_norm(hidden)
        outputs = {}
        for i, attention in enumerate(self.attentions):
            outputs[f"key_{i}"] = _heads(attention.k_proj(hidden), attention.num_heads).transpose(2, 3).contiguous()
            outputs[f"value_{i}"] = _heads(attention.v_proj(hidden), attention.num_heads).contiguous()
        return outputs


class DecoderStep(torch.nn.Module):
    """Some tokens after those in the cache -> the best next token under Whisper's rules, without moving 51,864 logits.

    Inputs: `tokens` int64 [1, t]; `begin` float32 [1], 1 where nothing has been said yet and else 0; `past` float32
    [2 * layers, heads, 1 + p, width], key and value of each layer for the p tokens before, behind an empty slot that
    nothing attends to, so that no runtime has to take a tensor without elements; the encoder's `key_N` and `value_N`.
    Outputs: `token` int64 [1], the best but for time stamps; `score` float32 [1], its logit; `end` float32 [1], the
    logit of the end of text; `times` float32 [1, stamps], the logits of the time stamps; `cache`, `past` with the new
    tokens.

    Args:
        model: `transformers.WhisperForConditionalGeneration`.
        end: the token that ends a text.
        stamps: the first time stamp; None where the model has none.
        never, never_first: tokens that are not allowed at all, and not as the first.
    """

    never: torch.Tensor
    never_first: torch.Tensor

    def __init__(
        self, model: Any, *, end: int, stamps: int | None, never: Sequence[int], never_first: Sequence[int]
    ) -> None:
        super().__init__()
        self.decoder, self.out = model.model.decoder, model.proj_out
        words = model.config.vocab_size
        self.end, self.stamps = end, words if stamps is None else stamps
        for name, tokens in (("never", never), ("never_first", never_first)):
            rule = torch.zeros(self.stamps)
            rule[[token for token in tokens if token < self.stamps]] = FORBIDDEN
            self.register_buffer(name, rule)

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """See the class; inputs in that order, keys and values layer by layer (how many there are is the model's to
        say).
        """
        tokens, begin, past, *crossed = inputs
        held, new = past.shape[2], tokens.shape[1]
        hidden = self.decoder.embed_tokens(tokens) + self.decoder.embed_positions.weight[held - 1 : held - 1 + new]
        slots = torch.arange(held + new)
        hidden_slots = (slots[None, :] > slots[held:, None]) | (slots == 0)
        mask = torch.where(hidden_slots, FORBIDDEN, 0.0)
        cache = []
        for i, layer in enumerate(self.decoder.layers):
            normal, own = layer.self_attn_layer_norm(hidden), layer.self_attn
            query, key, value = (
                _heads(project(normal), own.num_heads) for project in (own.q_proj, own.k_proj, own.v_proj)
            )
            key = torch.cat([past[2 * i : 2 * i + 1], key], dim=2)
            value = torch.cat([past[2 * i + 1 : 2 * i + 2], value], dim=2)
            cache += [key, value]
            hidden = hidden + own.out_proj(_attended(query, key.transpose(2, 3), value, mask))
            cross = layer.encoder_attn
            query = _heads(cross.q_proj(layer.encoder_attn_layer_norm(hidden)), cross.num_heads)
            hidden = hidden + cross.out_proj(_attended(query, crossed[2 * i], crossed[2 * i + 1], None))
            hidden = hidden + _forward(layer, hidden)
        logits = self.out(self.decoder.layer_norm(hidden[:, -1]))
        words = logits[:, : self.stamps] + self.never + begin * self.never_first
        token = words.argmax(dim=-1)
        return {
            "token": token,
            "score": words.amax(dim=-1),
            "end": words[:, self.end],
            "times": logits[:, self.stamps :],
            "cache": torch.cat(cache, dim=0),
        }


def _heads(projected: torch.Tensor, heads: int) -> torch.Tensor:
    """[1, n, heads * width] -> [1, heads, n, width]."""
    return projected.reshape(1, -1, heads, projected.shape[-1] // heads).transpose(1, 2)


def _joined(attended: torch.Tensor) -> torch.Tensor:
    return attended.transpose(1, 2).flatten(2)


def _attended(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Attention of a few queries over keys [1, heads, width, n] that lie ready to be multiplied by."""
    scores = (query * query.shape[-1] ** -0.5) @ key
    if mask is not None:
        scores = scores + mask
    return _joined(scores.softmax(dim=-1) @ value)


def _forward(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    added: torch.Tensor = layer.fc2(functional.gelu(layer.fc1(layer.final_layer_norm(hidden))))
    return added
