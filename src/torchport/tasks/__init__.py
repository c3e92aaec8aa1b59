"""The tasks: one file each with its facts, steps, metric and sample. Adding one is its file and a row here."""

from __future__ import annotations

from ..registry import Entry, Registry
from .base import Item, Task
from .pipeline import Pipeline

__all__ = ["Item", "Pipeline", "Task", "tasks"]

tasks: Registry[Task] = Registry(
    "tasks",
    {
        "image-classification": Entry("torchport.tasks.image_classification:ImageClassification", None, "a picture -> labelled scores"),
        "tensor": Entry("torchport.tasks.tensor:TensorTask", None, "named tensors in, named tensors out: any module"),
    },
)
