"""Every architecture of the zoo, by name."""

from __future__ import annotations

from collections.abc import Mapping

from architecture import Architecture
from pictures import PICTURES
from texts import TEXTS
from trouble import TROUBLE

ZOO: Mapping[str, Architecture] = {**PICTURES, **TEXTS, **TROUBLE}

SLICE = (
    "cv_mobilenetv2_wd4",
    "cv_shufflenetv2_wd2",
    "hf_bert",
    "hf_llama",
    "hf_t5",
    "hf_wav2vec2",
    "hf_vit",
    "lstm",
    "stft",
    "top_k_gather",
    "scatter",
    "complex",
)
"""What the project's own tests take."""
