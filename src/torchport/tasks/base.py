"""The contract of a task: facts in, and from them the steps, the graphs, the metric and the presented answer.

A task file imports no torch at the top: `graphs` is the only build-half method and imports it inside.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..types import Artifact, Signature, Step, Value

if TYPE_CHECKING:
    import torch

Facts = dict[str, Any]
Values = dict[str, Any]
HostStep = Callable[[Values, Facts], Values]
"""A host step takes its inputs by its own names and the facts, and answers its outputs by its own names."""


@dataclass(frozen=True)
class Item:
    """One item of the user's data: a name to show, its raw bytes (read when asked), its label if there is one."""

    name: str
    read: Callable[[], bytes]
    label: Any = None


@dataclass(frozen=True)
class TaskGraph:
    """A graph that the task adds around the model, to be captured like the model itself.

    Attributes:
        module: torch module of core ATen operators in eval mode; forward takes the example's tensors by name, in order,
            and returns a dict of tensors.
        examples: one feed.
        dims: input name -> {axis: name of the dynamic dimension}.
        bounds: dynamic dimension -> (min, max), where a bound is known.
    """

    module: torch.nn.Module
    examples: dict[str, np.ndarray]
    dims: dict[str, dict[int, str]] = field(default_factory=dict)
    bounds: dict[str, tuple[int, int | None]] = field(default_factory=dict)


class Task(abc.ABC):
    """What a kind of model is for.

    Class attributes:
        name, about: as in the table.
        metric: name of what `score` averages to (`top-1`, `agreement`).
        answer: the fields that `present` adds to one element of predict's results.
        suffixes: file suffixes that `items` picks up in a folder.
        mime: content type of raw bytes -> suffix.
        example: a runnable `torchport deploy` line, for `torchport tasks`.
        takes_tensors: whether seeded noise (`--input`) can stand in for data.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    metric: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    mime: ClassVar[Mapping[str, str]] = {}
    example: ClassVar[str] = ""
    answer: ClassVar[type[Value]] = Value
    takes_tensors: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Any]] = {}

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[Facts, tuple[str, ...]]:
        """Facts from the user's settings, else from the source, else from the defaults.

        Returns:
            The facts, and the names of those that had to be assumed.

        Raises:
            UsageError: an unknown setting or an impossible value.
        """
        from ..errors import UsageError

        unknown = sorted(set(settings) - set(self.defaults))
        if unknown:
            raise UsageError(f"{self.name} has no setting '{unknown[0]}'", f"it has {', '.join(sorted(self.defaults))}")
        facts = {**self.defaults, **{k: v for k, v in source.items() if k in self.defaults}, **settings}
        assumed = tuple(sorted(k for k in self.defaults if k not in settings and k not in source))
        return self.check(facts), assumed

    def check(self, facts: Facts) -> Facts:
        """Validate and normalise resolved facts; raises UsageError."""
        return facts

    def bind(self, facts: Facts, model: Signature) -> Facts:
        """Facts once the model's signature is known; raises BadInput when the two do not fit (1000 outputs, 999 labels)."""
        return facts

    @abc.abstractmethod
    def items(self, data: Path, facts: Facts) -> list[Item]:
        """The user's data as items, in a stable order; raises BadInput when there is none."""

    def check_items(self, items: Sequence[Item], model: Signature) -> None:
        """See that the items' labels fit the model's outputs; raises BadInput where they do not."""
        return

    @abc.abstractmethod
    def feed(self, items: Sequence[Item], facts: Facts, inputs: Sequence[str] | None) -> dict[str, np.ndarray]:
        """The model graph's input for some items, batched, by the names of forward's arguments.

        `inputs` names forward's arguments in order, or is None when they are not known yet (the names in the data are
        then the names).
        """

    @abc.abstractmethod
    def steps(self, facts: Facts, model: Signature) -> tuple[Step, ...]:
        """The chain from `raw` to `result`, wired to the model's own names."""

    def graphs(self, facts: Facts, model: Signature, items: Sequence[Item]) -> dict[str, TaskGraph]:
        """Graphs around the model, by the names that `steps` uses (build half: needs torch)."""
        return {}

    @property
    @abc.abstractmethod
    def host(self) -> Mapping[str, HostStep]:
        """The host steps, by the names that `steps` uses."""

    @abc.abstractmethod
    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """How right one presented result is, 0..1; the metric is the mean."""

    @abc.abstractmethod
    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether two presented results give the same answer."""

    def words(self, result: Mapping[str, Any]) -> str:
        """One presented result in a few words, for tables and reports."""
        import json

        text = json.dumps(result)
        return text if len(text) <= 80 else text[:77] + "..."

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """One presented result for people, a line each."""
        return [self.words(result)]

    def thumbnail(self, raw: bytes) -> bytes | None:
        """A small JPEG that shows an item in a report; None where there is nothing to see."""
        return None

    def snippets(self, facts: Facts, model: Signature, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
        """Whole programs that answer one input with a Bundle and nothing of torchport, for the Bundle's README.

        Args:
            model: the model graph's signature.
            artifacts: variant id -> what lies under `variants/<id>/`.

        Returns:
            Language (`python`, `javascript`) -> a program for the Bundle's folder that takes the input's path as its only
            argument; a language is left out where these facts or artefacts are beyond a short program.
        """
        return {}

    def files(self, facts: Facts) -> dict[str, bytes]:
        """Files that a Bundle carries for people and clients of other languages, by name (`labels.txt`)."""
        return {}

    def describe(self, facts: Facts) -> list[str]:
        """The facts in words, a line each, for reports."""
        return [f"{key}: {value}" for key, value in sorted(facts.items())]
