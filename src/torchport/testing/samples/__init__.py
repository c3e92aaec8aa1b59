"""One sample a task, for the conformance run: a tiny seeded model, tiny data, and what must work with them.

A sample is a file `<task_with_underscores>.py` in this folder with a function `sample(folder: Path) -> Sample`; it is
found by listing. Everything it needs is made in `folder` or comes with torchport and the task's own extra.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["BAD", "TARGETS", "Sample", "names", "sample_of"]

TARGETS = ("onnx", "openvino", "pt2", "torchscript")
"""Targets that must take a sample unless it names others."""

BAD = (b"", b"\xff\xfe\x00 neither a picture, nor sound, nor text \x80\xff")
"""Bytes that no task can read unless its sample names others: nothing at all, and what is in no format and not UTF-8.
"""


@dataclass(frozen=True)
class Sample:
    """What a task is tried with.

    Attributes:
        task: its name in the table.
        source: a tiny model in eval mode with seeded weights; or whatever else a deploy takes as its source.
        data: the user's data for it, at least two items, in the task's own format.
        settings: facts that the task needs.
        targets: must each give a variant that answers right.
        bad: raw inputs that must be refused as BadInput.
        push: pieces of a stream for the task's session, where it has one; none: it has none.
    """

    task: str
    source: torch.nn.Module | str
    data: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[str, ...] = TARGETS
    bad: tuple[bytes, ...] = BAD
    push: tuple[Any, ...] = ()


def names() -> list[str]:
    """The tasks that have a sample, sorted."""
    return sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[!_]*.py"))


def sample_of(task: str, folder: Path) -> Sample:
    """The sample of a task, its files made in `folder`, an empty folder that exists."""
    make: Callable[[Path], Sample] = import_module(f"{__name__}.{task.replace('-', '_')}").sample
    sample = make(folder)
    assert sample.task == task, f"the sample of {task} is of {sample.task}"
    return sample
