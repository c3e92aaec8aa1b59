"""A tiny Whisper that hears windows of a second, over two recordings of tones, and an even smaller model of the other
kind.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from ...tasks.shared.audio import encode_wav
from . import Sample

RATE = 16000
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
SPECIAL = ("<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>")
STAMPS = 26
"""Time stamps of 40 ms from 0 to 1 s."""


def sample(folder: Path) -> Sample:
    """Two recordings, one longer than a window."""
    tokenizer = tokenizer_file(folder / "tokenizer.json")
    spoken = recordings(folder / "recordings")
    chunks = tuple(np.split(tones(1.5), 5))
    return Sample("speech-recognition", whisper(), spoken, {"tokenizer": str(tokenizer)}, push=chunks)


def whisper() -> torch.nn.Module:
    """A seeded `transformers.WhisperForConditionalGeneration`: one layer of 16 on each side, eight words, windows of 1
    s.
    """
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    end, start, silent = range(len(WORDS), len(WORDS) + len(SPECIAL))
    sizes = {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
    }
    spans = {
        "num_mel_bins": 8,
        "max_source_positions": 50,
        "max_target_positions": 24,
        "vocab_size": silent + 1 + STAMPS,
    }
    tokens = {"decoder_start_token_id": start, "eos_token_id": end, "bos_token_id": end, "pad_token_id": end}
    torch.manual_seed(3)
    model = WhisperForConditionalGeneration(
        WhisperConfig(**sizes, **spans, **tokens, init_std=1.0, suppress_tokens=None, begin_suppress_tokens=None)
    ).eval()
    model.generation_config = GenerationConfig(
        **tokens, no_timestamps_token_id=silent, suppress_tokens=[start], begin_suppress_tokens=[end]
    )
    return model  # type: ignore[no-any-return]


class TinyCtc(torch.nn.Module):
    """[batch, samples] -> [batch, frames of 20 ms, 5]: blank, a sign between words, and a, b, c by loudness."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.listen = torch.nn.Conv1d(1, 8, 320, 320, bias=False)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """See the class."""
        scores: torch.Tensor = self.head(self.listen(samples[:, None]).abs().transpose(1, 2))
        return scores


def tokenizer_file(path: Path) -> Path:
    """A `tokenizer.json` of `WORDS`, each spoken with a space before it, and of `SPECIAL`."""
    words = {word: i for i, word in enumerate(WORDS)}
    added = [
        {
            "id": len(WORDS) + i,
            "content": name,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, name in enumerate(SPECIAL)
    ]
    model = {
        "type": "WordLevel",
        "vocab": {**words, **{name: len(WORDS) + i for i, name in enumerate(SPECIAL)}},
        "unk_token": "one",
    }
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
    }
    path.write_text(json.dumps({**content, "model": model}), encoding="utf-8")
    return path


def tones(seconds: float, seed: int = 0) -> np.ndarray:
    """Something like speech: seeded tones with pauses, float32 at `RATE`."""
    random = np.random.default_rng(seed)
    at = np.arange(round(seconds * RATE)) / RATE
    pitch = random.uniform(120, 2000, 4)
    voice = np.sin(2 * np.pi * np.outer(pitch, at)).sum(axis=0) * (np.sin(2 * np.pi * 3 * at) > -0.5)
    samples: np.ndarray = 0.1 * voice + 0.003 * random.normal(size=len(at))
    return samples.astype(np.float32)


def recordings(folder: Path) -> Path:
    """`transcripts.csv` and two recordings."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, seconds in (("short.wav", 0.7), ("long.wav", 1.6)):
        (folder / name).write_bytes(encode_wav(tones(seconds, len(name)), RATE))
    (folder / "transcripts.csv").write_text(
        "file,text\nshort.wav,one two\nlong.wav,three four five\n", encoding="utf-8"
    )
    return folder
