"""A model of connectionist temporal classification with its normalisation and the best path, as a torch module."""

from __future__ import annotations

from typing import Any

import torch


class BestPath(torch.nn.Module):
    """`samples` float32 [1, n] -> `tokens` int64 [1, frames], the likeliest symbol of each frame, and `scores` float32
    [1, frames], its logit.

    Args:
        model: takes [batch, n] samples; answers logits [batch, frames, symbols], or something that holds them as
        `logits` or first. normalise: bring samples to mean 0 and variance 1 first, as
        `transformers.Wav2Vec2FeatureExtractor` does.
    """

    def __init__(self, model: torch.nn.Module, *, normalise: bool) -> None:
        super().__init__()
        self.model, self.normalise = model, normalise

    def forward(self, samples: torch.Tensor) -> dict[str, torch.Tensor]:
        """See the class."""
        if self.normalise:
            samples = samples - samples.mean(dim=1, keepdim=True)
            samples = samples / (samples.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()
        logits = _logits(self.model(samples))
        return {"tokens": logits.argmax(dim=-1), "scores": logits.amax(dim=-1)}


def _logits(answer: Any) -> torch.Tensor:
    if isinstance(answer, torch.Tensor):
        return answer
    found: torch.Tensor = (
        answer["logits"]
        if hasattr(answer, "keys") and "logits" in answer
        else next(iter(answer.values()))
        if hasattr(answer, "values")
        else answer[0]
    )
    return found
