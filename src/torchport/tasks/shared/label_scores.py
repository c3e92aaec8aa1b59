"""Classes with scores: the names, the best few presented, and what makes two answers the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np

from ...errors import BadInput, RunError, UsageError
from ...types import Signature, Value
from ..facts import Mark, Reads
from ..kinds import Count
from ..parts import Item

AUTO = "auto"
CLOSE = "closeness"
"""Metric of a number: 1 less the error, as a share of the label where that is above 1."""

ALIKE = 0.05
"""By how much the scores of two answers of one output may differ, as a share of what is above 1."""

Activation = Annotated[
    Literal["auto", "softmax", "sigmoid", "none"],
    "What makes scores of the model's outputs: softmax (one class of many; they sum to 1), sigmoid "
    "(each class by itself) or none (as they are); auto: softmax, or sigmoid where there is one output.",
]
Top = Annotated[Count, "How many classes are answered, the most likely first.", Mark.AT_PREDICT]
LABELS = (
    "Names of the classes in the order of the model's outputs: a file with one name a line, a COCO file with "
    "categories, name,name,... or a list; none: classes are numbered"
)


def read(value: Any) -> list[str] | None:
    """Names of classes from a list, a file with one name a line, a COCO file, or names with commas between them.

    Raises:
        UsageError: the file cannot be read, or names nothing.
    """
    if isinstance(value, list | tuple):
        return list(map(str, value)) or None
    path = Path(str(value))
    if not path.is_file() and "," in str(value):
        return [name.strip() for name in str(value).split(",") if name.strip()]
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("{"):
            return [str(one["name"]) for one in sorted(json.loads(text)["categories"], key=lambda one: one["id"])]
        names = [line.strip() for line in text.rstrip().splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise UsageError(
            f"labels: '{value}' cannot be read",
            "give a text file with one name a line, a COCO file with categories, or name,name,...",
        ) from exc
    if not names:
        raise UsageError(f"labels: '{value}' is empty", "give one name a line")
    return names


Names = Annotated[tuple[str, ...] | None, f"{LABELS}.", Reads(read)]


class ClassFacts(Protocol):
    """The facts of a classifier, whatever it classifies."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of the model's outputs."""

    @property
    def activation(self) -> Literal["auto", "softmax", "sigmoid", "none"]:
        """What makes scores of the model's outputs."""


class Label(Value, frozen=True):
    """A class: its index among the model's outputs, its name, and its score."""

    index: int
    label: str
    score: float


class Labels(Value, frozen=True):
    """The most likely classes, best first."""

    labels: tuple[Label, ...]


def activation(
    wanted: Literal["auto", "softmax", "sigmoid", "none"], classes: Any
) -> Literal["auto", "softmax", "sigmoid", "none"]:
    """What makes scores of so many outputs.

    Raises:
        UsageError: a softmax of one output, which is always 1.
    """
    if wanted == AUTO:
        return "sigmoid" if classes == 1 else "softmax"
    if wanted == "softmax" and classes == 1:
        raise UsageError(
            "activation=softmax of a model with one output: every answer would be 1.0",
            "give activation=sigmoid for a probability, or none for a number",
        )
    return wanted


def index(label: str, labels: Sequence[str] | None) -> int | None:
    """Which class a written label is: one of the names, else the number of one; None where it is neither."""
    if labels is not None and label in labels:
        return labels.index(label)
    if labels is None and label.startswith("LABEL_"):  # what transformers calls a class that has no name
        label = label.removeprefix("LABEL_")
    known = label.isascii() and label.isdecimal() and (labels is None or int(label) < len(labels))
    return int(label) if known else None


def present(scores: np.ndarray, labels: Sequence[str] | None, top: int) -> dict[str, Any]:
    """The best classes of float32 [1, classes], as `Labels` in JSON.

    Raises:
        RunError: a score is NaN.
    """
    row = np.asarray(scores)[0]
    if np.isnan(row).any():
        raise RunError(
            "the model answered NaN",
            "check the weights and the preprocessing facts, or use a variant of a higher precision",
        )
    best = np.argsort(-row, kind="stable")[:top]
    return {
        "labels": [{"index": int(i), "label": labels[i] if labels else str(i), "score": float(row[i])} for i in best]
    }


def right(result: Mapping[str, Any], label: Any) -> float:
    """How right an answer is: 1.0 for the right class first. Of a model with one output a label is a float: the answer
    is on its side of 0.5, or near it.
    """
    best = result["labels"][0]
    if not isinstance(label, float):
        return float(best["index"] == label)
    if label in (0.0, 1.0) and 0 <= best["score"] <= 1:
        return float((best["score"] >= 0.5) == (label == 1.0))
    return max(0.0, 1 - abs(float(best["score"]) - label) / max(1.0, abs(label)))


def metric(label: Any, activation: str) -> str | None:
    """What a label of a model with one output is graded by; None for a class."""
    if not isinstance(label, float):
        return None
    return CLOSE if activation == "none" else "binary accuracy"


def alike(result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
    """Whether two answers name the same class first; where there is only one, by about the same score."""
    one, other = result["labels"], reference["labels"]
    same = one[0]["index"] == other[0]["index"]
    if len(one) > 1 or len(other) > 1 or not same:
        return bool(same)
    return bool(abs(one[0]["score"] - other[0]["score"]) <= ALIKE * max(1.0, abs(other[0]["score"])))


def check_items(items: Sequence[Item], model: Signature) -> None:
    """Every labelled item has a class that the model answers; raises BadInput naming the first that has not."""
    classes = model.outputs[0].shape[-1]
    for item in items:
        if item.label is not None and isinstance(classes, int) and not 0 <= int(item.label) < classes:
            raise BadInput(
                f"{item.name} is labelled {item.label}, the model answers classes 0..{classes - 1}",
                "give labels as class numbers, or the model's own list of names",
            )


def label_words(label: Any, labels: Sequence[str] | None) -> str:
    """The name of a class, or its number where classes have none."""
    return labels[label] if labels and isinstance(label, int) and 0 <= label < len(labels) else str(label)


def counted(labels: Sequence[str] | None) -> str:
    """How many names of classes there are, in words."""
    return f"{len(labels)} names" if labels else "none: classes are numbered"


def named(label: Mapping[str, Any]) -> str:
    """One presented class in words."""
    return (
        f"{label['label']} {label['score']:.1%}"
        if 0 <= label["score"] <= 1
        else f"{label['label']} {label['score']:.4g}"
    )
