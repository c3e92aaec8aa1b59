"""The heads that detectors end with: what each answers, by name. Adding one is a line here and, where none fits, a
class in `detection_graphs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import BadInput, UsageError
from ...types import Signature, TensorSpec
from .picture_chain import shown


@dataclass(frozen=True)
class Head:
    """A head: how its outputs are read.

    Attributes:
        module: class of `detection_graphs` that makes boxes and scores of them.
        outputs: what that class calls them; the model's outputs of these names, or else its first ones in order.
        axis, others: the first output's axis of classes, and how many of its places are no class.
        nms: the usual greatest overlap of two boxes of a class, None where none is needed.
        options: further arguments of the class.
    """

    module: str
    outputs: tuple[str, ...]
    axis: int
    others: int = 0
    nms: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def of(self, model: Signature) -> dict[str, TensorSpec]:
        """What the head calls each output -> the model's output; BadInput where it has too few."""
        known = {spec.name: spec for spec in model.outputs}
        if not all(name in known for name in self.outputs):
            if len(model.outputs) < len(self.outputs):
                raise BadInput(
                    f"the model answers {', '.join(known)}; this head reads {', '.join(self.outputs)}",
                    "give another --set head=...",
                )
            known = dict(zip(self.outputs, model.outputs, strict=False))
        chosen = {name: known[name] for name in self.outputs}
        if len(chosen[self.outputs[0]].shape) <= self.axis:
            raise BadInput(
                f"the model's output {shown(chosen[self.outputs[0]])} has no axis {self.axis} of classes",
                "give another --set head=...",
            )
        return chosen

    def classes(self, model: Signature) -> int | None:
        """How many classes the model tells apart, or None where its shape does not say."""
        size = self.of(model)[self.outputs[0]].shape[self.axis]
        return size - self.others if isinstance(size, int) else None


HEADS: Mapping[str, Head] = {
    "centers": Head("Centers", ("heat", "box"), 1),
    "detr": Head("Queries", ("logits", "pred_boxes"), 2, others=1),
    "detr-sigmoid": Head("Queries", ("logits", "pred_boxes"), 2, options={"none": False}),
    "yolo": Head("Rows", ("rows",), 2, others=4, nms=0.5),
    "yolo-upright": Head("Rows", ("rows",), 1, others=4, nms=0.5, options={"upright": True}),
}
"""Head by the fact `head`."""

CASCADES = ("mtcnn",)
"""Values of `head` that mean several networks in a row: `cascade.py`."""

AUTO = "auto"


def guess(model: Signature) -> str:
    """The head that a model's outputs look like: by their names, else one output of three axes is YOLO's, the longer
    axis its anchors.

    Raises:
        UsageError: like none.
    """
    names = {spec.name for spec in model.outputs}
    for name, head in HEADS.items():
        if set(head.outputs) <= names:
            return name
    shape = model.outputs[0].shape
    if len(model.outputs) == 1 and len(shape) == 3:
        rows, columns = shape[1:]
        return "yolo-upright" if isinstance(rows, int) and isinstance(columns, int) and rows < columns else "yolo"
    raise UsageError(
        f"the outputs {', '.join(map(shown, model.outputs))} are of no known head",
        f"give --set head=..., one of {', '.join((*HEADS, *CASCADES))}",
    )
