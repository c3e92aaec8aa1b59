"""The contract of a task: facts in, and from them the steps, the graphs, the metric and the presented answer.

A task file imports no torch at the top: `graphs` is the only build-half method and imports it inside.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast

import numpy as np

from ..types import Artifact, Signature, Step, TensorSpec, Value
from . import facts as typed
from . import overriding
from .facts import F, Facts, Mark
from .parts import Driver, Grade, Graph, HostStep, Item, Session, Settled, Split, TaskGraph, Values, told

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from .pipeline import Pipeline

LEAST: Mapping[str, float] = {
    "word accuracy": 0.2,
    "chrF": 0.1,
    "F1 at IoU 0.5": 0.1,
    "MOTA": 0.1,
    "precision": 0.1,
    "closeness": 0.5,
}
"""Values of metrics below which a model as trained is called poor; what a label is right or wrong by is held against
chance instead.
"""


class Task(abc.ABC, Generic[F]):
    """What a kind of model is for.

    Its facts are a struct of its own, see `tasks.facts`. A fact whose value is a `pathlib.Path` is a file that goes
    along: the Bundle carries it under `assets/`, the manifest names it, and whoever opens the Bundle finds the Path of
    the checked copy in the facts.

    Class attributes:
        name, about: as in the table.
        metric: name of what `score` averages to (`top-1`, `agreement`).
        about_data: what `--data` takes, and where the labels stand.
        about_metric: what the metric counts, and what agreement means where there are no labels.
        answer: the fields that `present` adds to one element of predict's results.
        suffixes: file suffixes that `items` picks up in a folder.
        mime: content type of raw bytes -> suffix.
        example: a runnable `torchport deploy` line, for `torchport tasks`.
        takes_tensors: whether seeded noise (`--input`) can stand in for data.
        architectures: regular expressions; a Hugging Face folder whose `architectures[0]` one of them matches whole is
        for
            this task unless the user says otherwise.
        facts: the type of its facts, from which the next six are made.
        defaults: every fact that can be set -> its value where nobody states one.
        about_facts: every fact of `defaults` -> what it is, its unit and its allowed values, in one or two sentences.
        at_predict, in_graphs, from_model, lowered_at_predict: names of the facts with these marks, see `facts.Mark`.
        suspects: facts that are most likely wrong where a model is poor on labelled data.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    metric: ClassVar[str]
    about_data: ClassVar[str] = ""
    about_metric: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = ()
    mime: ClassVar[Mapping[str, str]] = {}
    example: ClassVar[str] = ""
    answer: ClassVar[type[Value]] = Value
    takes_tensors: ClassVar[bool] = False
    architectures: ClassVar[tuple[str, ...]] = ()
    facts: ClassVar[type[Facts]] = Facts
    defaults: ClassVar[Mapping[str, Any]] = {}
    about_facts: ClassVar[Mapping[str, str]] = {}
    suspects: ClassVar[tuple[str, ...]] = ()
    in_graphs: ClassVar[frozenset[str]] = frozenset()
    from_model: ClassVar[frozenset[str]] = frozenset()
    at_predict: ClassVar[frozenset[str]] = frozenset()
    lowered_at_predict: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        known = typed.settable(cls.facts)
        cls.defaults = {name: fact.default for name, fact in known.items()}
        cls.about_facts = {name: fact.about for name, fact in known.items()}
        cls.at_predict = typed.marked(cls.facts, Mark.AT_PREDICT)
        cls.lowered_at_predict = typed.marked(cls.facts, Mark.LOWERED)
        cls.in_graphs = typed.marked(cls.facts, Mark.IN_GRAPHS)
        cls.from_model = typed.marked(cls.facts, Mark.FROM_MODEL)

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[F, tuple[str, ...]]:
        """Facts from the user's settings, else from the source, else from the defaults.

        Returns:
            The facts, and the names of those that had to be assumed.

        Raises:
            UsageError: an unknown setting or an impossible value.
        """
        self.check_names(settings)
        stated = {**{k: v for k, v in source.items() if k in self.defaults}, **settings}
        return self.check(self._read(stated, files=True)), tuple(sorted(self.defaults.keys() - stated.keys()))

    def _read(self, stated: Mapping[str, Any], *, files: bool) -> F:
        return cast(F, typed.read(self.facts, stated, files=files))  # a ClassVar cannot name it

    def check_names(self, settings: Mapping[str, Any]) -> None:
        """See that every setting is a fact of this task; raises UsageError with the fact that is nearest."""
        from ..errors import UsageError, did_you_mean

        unknown = sorted(set(settings) - set(self.defaults))
        if unknown:
            raise UsageError(
                f"{self.name} has no setting '{unknown[0]}'",
                did_you_mean(unknown[0], sorted(self.defaults)) if self.defaults else "it takes none",
            )

    def ignored(self, facts: F) -> dict[str, str]:
        """Facts that change no answer of this model, each with the reason: a user who sets one is told so."""
        return {}

    def need_used(self, settings: Mapping[str, Any], facts: F) -> None:
        """See that every setting has an effect on this model; raises UsageError naming the first that has none."""
        overriding.need_used(self, settings, facts)

    def override(self, facts: F, changes: Mapping[str, Any], *, in_graph: bool = False) -> F:
        """A Bundle's facts with some changed when it is opened; see `overriding.override`."""
        return overriding.override(self, facts, changes, in_graph=in_graph)

    def check(self, facts: F) -> F:
        """Hold facts against each other, each of which has one of its own values; raises UsageError.

        What it answers is what a Bundle keeps, and checking that again changes nothing.
        """
        return facts

    def recorded(self, facts: Mapping[str, Any]) -> F:
        """The facts that a Bundle states, checked as those of a deploy are; one that is missing has its default.

        No fact is a name of a file any more: it was read when the Bundle was made, or is carried and comes as a Path.

        Raises:
            UsageError: a fact has a value that it cannot have.
        """
        from ..errors import MissingDependency, TorchportError, UsageError

        made = self._read(facts, files=False)
        try:
            return self.check(made)
        except MissingDependency:
            raise
        except TorchportError as exc:
            raise UsageError(exc.message, exc.hint) from exc

    def free(self, facts: F) -> dict[int, str]:
        """The axes of the model's input, beside the first, that are of any size: axis -> name of the dimension."""
        return {}

    def bind(self, facts: F, model: Signature) -> F:
        """Facts once the model's signature is known; raises BadInput when the two do not fit (1000 outputs, 999
        labels).
        """
        return facts

    def named(self, facts: F, data: Path, inputs: Sequence[TensorSpec]) -> F:
        """Facts once the user has named the axes of the inputs beside the data (`--input`); only of a task that takes
        tensors.
        """
        return facts

    @abc.abstractmethod
    def items(self, data: Path, facts: F) -> list[Item]:
        """The user's data as items, in a stable order; raises BadInput when there is none."""

    def settle(self, data: Path, items: Sequence[Item], facts: F, model: Signature) -> Settled:
        """The items of `data` with their labels as the model's outputs, and what had to be assumed of them; raises
        BadInput where they do not fit.
        """
        return Settled(list(items), facts)

    def split(self, model: torch.nn.Module | ExportedProgram, facts: F, items: Sequence[Item]) -> Split | None:
        """The graphs of a source that is more than one (build half: needs torch).

        Args:
            model: the opened source, in eval mode.
            items: the first of the user's items, for real feeds.

        Returns:
            None where the source is one graph, which is then called `model` and captured on `feed`.

        Raises:
            BadInput: the source is of no kind that the task can take apart.
        """
        return None

    def feed(self, items: Sequence[Item], facts: F, inputs: Sequence[str] | None) -> dict[str, np.ndarray]:
        """The model graph's input for some items, batched, by the names of forward's arguments; for a source of one
        graph.

        `inputs` names forward's arguments in order, or is None when they are not known yet (the names in the data are
        then the names).
        """
        from ..errors import BadInput

        raise BadInput(
            f"{self.name} takes its model apart into several graphs, and this is one",
            f"see the task's page for what it takes: {self.example}",
        )

    @abc.abstractmethod
    def steps(self, facts: F, model: Signature) -> tuple[Step, ...]:
        """The chain from `raw` to `result`, wired to the model's own names.

        Args:
            model: signature of the graph `model`, or of the first graph of `split`; so in the methods below.
        """

    def graphs(self, facts: F, model: Signature, items: Sequence[Item]) -> dict[str, TaskGraph]:
        """Graphs around the model, by the names that `steps` uses (build half: needs torch)."""
        return {}

    @property
    @abc.abstractmethod
    def host(self) -> Mapping[str, HostStep]:
        """The host steps, by the names that `steps` uses."""

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """The host steps that call graphs, by the names that `steps` uses."""
        return {}

    def whole(self, folder: Path) -> bool:
        """Whether a folder is one input as it is (the frames of a video) rather than a place where inputs lie."""
        return False

    def read(self, path: Path) -> bytes:
        """The raw bytes of an input: a file, or a folder that is `whole`; raises OSError or BadInput."""
        return path.read_bytes()

    def session(self, pipeline: Pipeline) -> Session:
        """A stream of input over opened graphs.

        Raises:
            UsageError: the task has no such thing.
        """
        from ..errors import UsageError

        raise UsageError(f"{self.name} takes whole inputs, there is nothing to continue", "call predict for each input")

    def save(self, raw: bytes, values: Values, facts: F) -> dict[str, bytes]:
        """What `predict --save` writes of one answer: suffix (`.png`, `.wav`) -> the file's bytes; nothing where the
        JSON says it all.

        Args:
            values: every value of the chain, from `raw` to `result`.
        """
        return {}

    @abc.abstractmethod
    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """How right one presented result is by its label, 0..1; the metric is the mean."""

    def grade(self, values: Mapping[str, Any], label: Any, facts: F, graphs: Mapping[str, Graph]) -> Grade | None:
        """How right the answer to one item is, and by which metric; None where nothing tells.

        Args:
            values: every value of the chain, from `raw` to `result`.
            label: the item's, None where it has none.
            graphs: the opened graphs, for a metric of more than the result.
        """
        return None if label is None else Grade(self.metric, self.score(values["result"], label))

    @abc.abstractmethod
    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether two presented results give the same answer."""

    def words(self, result: Mapping[str, Any]) -> str:
        """One presented result in a few words, for tables and reports."""
        import json

        text = json.dumps(result)
        return text if len(text) <= 80 else text[:77] + "..."

    def label_words(self, label: Any, facts: F) -> str:
        """An item's label in a few words, for tables and reports."""
        text = str(label)
        return text if len(text) <= 80 else text[:77] + "..."

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """One presented result for people, a line each."""
        return [self.words(result)]

    def thumbnail(self, raw: bytes) -> bytes | None:
        """A small JPEG that shows an item in a report; None where there is nothing to see."""
        return None

    def illustrate(self, raw: bytes, result: Mapping[str, Any]) -> bytes | None:
        """A small JPEG that shows an item and the answer to it in a report; the item alone unless the task draws
        answers.
        """
        return self.thumbnail(raw)

    def snippets(self, facts: F, model: Signature, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
        """Whole programs that answer one input with a Bundle and nothing of torchport, for the Bundle's README.

        Args:
            model: the model graph's signature.
            artifacts: variant id -> what lies under `variants/<id>/`.

        Returns:
            Language (`python`, `javascript`) -> a program for the Bundle's folder that takes the input's path as its
            only argument; a language is left out where these facts or artefacts are beyond a short program.
        """
        return {}

    def files(self, facts: F) -> dict[str, bytes]:
        """Files that a Bundle carries for people and clients of other languages, by name (`labels.txt`)."""
        return {}

    def describe(self, facts: F) -> list[str]:
        """The facts in words, a line each, for reports."""
        return told(facts)
