"""What a speech model's own configuration says, as facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import BadInput, UsageError
from ..parts import Facts

if TYPE_CHECKING:
    pass


MAX_TOKENS, MAX_FRAMES = 1024, 1024
"""Bounds of the two dynamic lengths, so that a runtime may plan its memory: 12 seconds of speech at a time."""


def with_model(facts: Facts, config: Any) -> Facts:
    """Facts with the model's own where nobody gave them."""
    known = {
        "sample_rate": float(config.sampling_rate),
        "noise_scale": float(config.noise_scale),
        "noise_scale_duration": float(config.noise_scale_duration),
        "length_scale": 1 / float(config.speaking_rate),
    }
    made = {**facts, **{name: value for name, value in known.items() if facts[name] is None}}
    speakers, highest = config.num_speakers if config.num_speakers > 1 else 1, max(facts["symbols"].values())
    if facts["speaker"] >= speakers:
        raise UsageError(f"speaker is {facts['speaker']}", f"the model has {speakers}, counted from 0")
    if highest >= config.vocab_size:
        raise BadInput(
            f"the table of symbols goes to {highest}, the model knows {config.vocab_size}",
            "give the table that the model was trained with",
        )
    more = {
        "hop": int(np.prod(config.upsample_rates)),
        "draws": bool(config.use_stochastic_duration_prediction),
        "max_tokens": MAX_TOKENS,
        "max_frames": MAX_FRAMES,
    }
    return {**made, **more, "speakers": speakers}
