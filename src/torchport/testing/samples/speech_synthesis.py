"""A VITS of a few thousand seeded weights that reads letters, Chinese ones among them, and two texts."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from . import Sample

SYMBOLS = " abcdefghijklmnopqrstuvwxyz你好世界"


def sample(folder: Path) -> Sample:
    """See the module."""
    from transformers import VitsConfig, VitsModel

    torch.manual_seed(0)
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "ffn_dim": 16,
        "flow_size": 8,
        "spectrogram_bins": 9,
    }
    decoder = {
        "upsample_initial_channel": 16,
        "upsample_rates": [4, 4],
        "upsample_kernel_sizes": [8, 8],
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3]],
    }
    flows = {
        "depth_separable_num_layers": 1,
        "prior_encoder_num_flows": 2,
        "prior_encoder_num_wavenet_layers": 2,
        "duration_predictor_num_flows": 2,
    }
    model = VitsModel(
        VitsConfig(vocab_size=len(SYMBOLS) + 1, **small, **decoder, **flows, posterior_encoder_num_wavenet_layers=1)
    ).eval()
    table = {symbol: number for number, symbol in enumerate(SYMBOLS, 1)}
    (folder / "symbols.json").write_text(json.dumps(table), encoding="utf-8")
    data = folder / "texts.jsonl"
    data.write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in ("hello you over there", "你好世界 and good day")),
        encoding="utf-8",
    )
    settings = {"symbols": str(folder / "symbols.json"), "lowercase": "true", "before": "[1]", "blank": "1"}
    return Sample("speech-synthesis", model, data, settings)
