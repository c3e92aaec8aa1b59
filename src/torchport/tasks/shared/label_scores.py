"""Classes with scores: the names, the best few presented, and what makes two answers the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput, RunError, UsageError
from ...types import Signature, Value
from ..base import Item

ABOUT: dict[str, str] = {
    "labels": "Names of the classes in the order of the model's outputs: a file with one name a line, name,name,... or a list; none: classes are numbered.",
    "activation": "What makes scores of the model's outputs: softmax (one class of many; they sum to 1), sigmoid (each class by itself) or none (as they are).",
    "top": "How many classes are answered, the most likely first. A whole number from 1 on.",
}


class Label(Value, frozen=True):
    """A class: its index among the model's outputs, its name, and its score."""

    index: int
    label: str
    score: float


class Labels(Value, frozen=True):
    """The most likely classes, best first."""

    labels: tuple[Label, ...]


def read(value: Any) -> list[str] | None:
    """Names of classes from a list, a file with one name a line, names with commas between them, or None.

    Raises:
        UsageError: the file cannot be read, or names nothing.
    """
    if value is None or isinstance(value, list | tuple):
        return list(map(str, value)) if value else None
    path = Path(str(value))
    if not path.is_file() and "," in str(value):
        return [name.strip() for name in str(value).split(",") if name.strip()]
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"labels: '{value}' cannot be read", "give a text file with one name a line, or name,name,...") from exc
    if not names:
        raise UsageError(f"labels: '{value}' is empty", "give one name a line")
    return names


def index(label: str, labels: Sequence[str] | None) -> int | None:
    """Which class a written label is: one of the names, else the number of one; None where it is neither."""
    if labels is not None and label in labels:
        return labels.index(label)
    known = label.isascii() and label.isdecimal() and (labels is None or int(label) < len(labels))
    return int(label) if known else None


def present(scores: np.ndarray, labels: Sequence[str] | None, top: int) -> dict[str, Any]:
    """The best classes of float32 [1, classes], as `Labels` in JSON.

    Raises:
        RunError: a score is NaN.
    """
    row = np.asarray(scores)[0]
    if np.isnan(row).any():
        raise RunError("the model answered NaN", "check the weights and the preprocessing facts, or use a variant of a higher precision")
    best = np.argsort(-row, kind="stable")[:top]
    return {"labels": [{"index": int(i), "label": labels[i] if labels else str(i), "score": float(row[i])} for i in best]}


def check_items(items: Sequence[Item], model: Signature) -> None:
    """Every labelled item has a class that the model answers; raises BadInput naming the first that has not."""
    classes = model.outputs[0].shape[-1]
    for item in items:
        if item.label is not None and isinstance(classes, int) and not 0 <= int(item.label) < classes:
            raise BadInput(f"{item.name} is labelled {item.label}, the model answers classes 0..{classes - 1}", "give labels as class numbers, or the model's own list of names")


def label_words(label: Any, labels: Sequence[str] | None) -> str:
    """The name of a class, or its number where classes have none."""
    return labels[label] if labels and isinstance(label, int) and 0 <= label < len(labels) else str(label)


def named(label: Mapping[str, Any]) -> str:
    """One presented class in words."""
    return f"{label['label']} {label['score']:.1%}" if 0 <= label["score"] <= 1 else f"{label['label']} {label['score']:.4g}"
