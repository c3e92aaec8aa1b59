"""Every architecture of the zoo, by name."""

from __future__ import annotations

from collections.abc import Mapping

from architecture import Architecture
from pictures import PICTURES
from texts import TEXTS
from trouble import TROUBLE

ZOO: Mapping[str, Architecture] = {**PICTURES, **TEXTS, **TROUBLE}

SLICE = (
    "timm_test_resnet",
    "timm_test_vit",
    "hf_distilbert",
    "hf_gpt2",
    "hf_vit",
    "lstm",
    "stft",
    "top_k_gather",
    "scatter",
    "graph",
    "in_place",
    "complex",
)
"""What the project's own tests take."""
