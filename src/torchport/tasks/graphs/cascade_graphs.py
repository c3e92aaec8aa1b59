"""The three networks of an MTCNN as graphs that take levels of 0..255 and answer by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from ..parts import TaskGraph
from ..shared.detection_facts import DetectionFacts

STAGES: dict[str, tuple[int, tuple[str, ...]]] = {
    "pnet": (12, ("box", "score")),
    "rnet": (24, ("box", "score")),
    "onet": (48, ("box", "points", "score")),
}
"""Stage -> side of its input in pixels, and its outputs in order; a score is the second of two classes."""


class Stage(nn.Module):
    """float32 [batch, 3, height, width] of RGB in 0..255 -> a stage's outputs, with the score of a face alone, [batch,
    ...].
    """

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, levels: Tensor) -> dict[str, Tensor]:
        """The stage's outputs by name."""
        answered = dict(zip(self.names, self.network((levels - 127.5) * 0.0078125), strict=True))
        return {**answered, "score": answered["score"][:, 1]}


def graphs(model: Any, facts: DetectionFacts) -> dict[str, TaskGraph] | None:
    """The stages of a module that has `pnet`, `rnet` and `onet`, or None where it has not.

    The first takes a picture of any size, at most the greatest of its pyramid; the others take batches.
    """
    if not all(isinstance(getattr(model, name, None), nn.Module) for name in STAGES):
        return None
    random = np.random.default_rng(0)
    made = {}
    for name, (side, outputs) in STAGES.items():
        height, width = (60, 71) if name == "pnet" else (side, side)
        example = random.integers(0, 256, (1 if name == "pnet" else 2, 3, height, width)).astype(np.float32)
        dims = {2: "height", 3: "width"} if name == "pnet" else {0: "batch"}
        bounds: dict[str, tuple[int, int | None]] = (
            dict.fromkeys(("height", "width"), (12, greatest(facts))) if name == "pnet" else {}
        )
        made[name] = TaskGraph(
            Stage(getattr(model, name), outputs).eval(), {"levels": example}, {"levels": dims}, bounds
        )
    return made


def greatest(facts: DetectionFacts) -> int:
    """The longest side of the pyramid's lowest picture, in pixels."""
    return int(facts.max_side * 12 / facts.min_size + 1)
