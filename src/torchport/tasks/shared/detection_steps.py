"""The host steps of `object-detection`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ...errors import BadInput, RunError
from ...types import Signature
from ..parts import Values
from . import boxes, letterbox, picture_facts, pictures
from .detection_facts import DetectionFacts
from .detection_heads import HEADS, Head
from .picture_chain import shown

if TYPE_CHECKING:
    pass


def head(facts: DetectionFacts) -> Head:
    """How the model writes its boxes, by the fact `head`."""
    return HEADS[facts.head]


def input_of(facts: DetectionFacts, model: Signature) -> str:
    """The name of the model's input that takes the picture; raises BadInput where none does."""
    wanted = ("batch", picture_facts.channels(facts), *facts.size)
    if len(model.inputs) == 1:
        spec = model.inputs[0]
        if (
            spec.dtype == "float32"
            and len(spec.shape) == 4
            and all(isinstance(a, str) or a == b for a, b in zip(spec.shape[1:], wanted[1:], strict=True))
        ):
            return spec.name
    raise BadInput(
        f"the model takes {', '.join(map(shown, model.inputs))}, the facts give float32[{','.join(map(str, wanted))}]",
        "set size and color to what it was trained with",
    )


def decode(values: Values, facts: DetectionFacts) -> Values:
    """Bytes of a picture -> uint8 [height, width, channels]."""
    return {"image": pictures.decode(values["raw"], facts.color)}


def fit(values: Values, facts: DetectionFacts) -> Values:
    """A picture -> float32 pixels of the model's size."""
    return {"pixels": letterbox.to_pixels(values["image"], facts)}


def bound(values: Values, facts: DetectionFacts) -> Values:
    """A picture of at most as many pixels as the in-graph preprocessing takes."""
    return {"image": letterbox.bounded(values["image"], facts, values["max_shape"]["image"])}


def select(values: Values, facts: DetectionFacts) -> Values:
    """Boxes and scores -> rows of those that are answered; raises RunError for NaN."""
    scores = np.asarray(values["scores"])[0]
    if np.isnan(scores).any():
        raise RunError(
            "the model answered NaN",
            "check the weights and the preprocessing facts, or use a variant of a higher precision",
        )
    return {
        "found": boxes.best(
            np.asarray(values["boxes"])[0], scores, threshold=facts.threshold, nms=_overlap(facts), top=facts.top
        )
    }


def counted(labels: Iterable[str]) -> str:
    """How often each label occurs: `2 cat, 1 dog`."""
    return ", ".join(f"{count} {label}" for label, count in sorted(Counter(labels).items()))


def _overlap(facts: DetectionFacts) -> float | None:
    """The greatest overlap; None where nothing is suppressed. A head was chosen, and with it what is usual."""
    return facts.nms if isinstance(facts.nms, float) else None


def place(values: Values, facts: DetectionFacts) -> Values:
    """Boxes in the model's picture -> boxes in the user's, as JSON."""
    found = np.array(values["found"])
    found[:, :4] = letterbox.to_picture(found[:, :4], facts, *values["image"].shape[:2])
    return name({"found": found}, facts)


def name(values: Values, facts: DetectionFacts) -> Values:
    """Rows of x1, y1, x2, y2, score, class, those with a score, as JSON; `points` go along."""
    labels, found = facts.labels, np.asarray(values["found"])
    listed = []
    for *box, score, index in found[found[:, 4] > 0].tolist():
        listed.append(
            {
                "index": int(index),
                "label": labels[int(index)] if labels else str(int(index)),
                "score": score,
                "box": box,
            }
        )
    for one, points in zip(listed, values.get("points", ()), strict=False):
        one["landmarks"] = points.tolist()
    return {"result": {"boxes": listed}}
