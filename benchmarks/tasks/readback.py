"""Speech read back: what Whisper tiny.en hears in it, and how many words are wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jiwer
import numpy as np
import soxr
import whisper_tiny_en
from tokenizers import Tokenizer

RATE = 16_000


def word_error_rate(texts: Sequence[str], spoken: Sequence[np.ndarray], rate: int) -> float:
    """Wrong words over all words, case and punctuation apart, of float [samples] that say `texts`."""
    model: Any = whisper_tiny_en.factory()
    tokens = Tokenizer.from_file(str(whisper_tiny_en.folder() / "tokenizer.json"))
    heard = [
        tokens.decode(whisper_tiny_en.eager(model, soxr.resample(one, rate, RATE).astype(np.float32))) for one in spoken
    ]
    return float(jiwer.wer([_plain(text) for text in texts], [_plain(text) for text in heard]))


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9' ]", " ", text.lower()).split())
