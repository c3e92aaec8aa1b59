"""The task `text-classification`: a text in, the most likely classes out; classes may be given by their descriptions
only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from msgspec.structs import replace

from ..errors import BadInput, UsageError
from ..types import Signature, Step
from .base import Task
from .facts import Mark
from .parts import Grade, Graph, HostStep, Item, Settled, Split, Values, told
from .shared import classes, label_scores, text_chain, texts, tokens
from .shared.tokens import TextFacts

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_NOT_ASSUMPTIONS = frozenset({"labels", "pad_id", "pad_to", "template", "top", "truncation_side"})


class TextClassFacts(TextFacts, frozen=True, kw_only=True):
    """What a classifier of texts was trained with, or what an embedder is to tell apart, and what is answered."""

    labels: label_scores.Names = None
    activation: label_scores.Activation = "auto"
    template: Annotated[
        str, "Describes a class to an embedder, for zero-shot classification; {} stands for the class's name."
    ] = "This text is about {}."
    top: label_scores.Top = 5
    classifier: Annotated[bool, "Whether the model answers classes itself.", Mark.TOLD] = False


class TextClassification(Task[TextClassFacts]):
    """A text -> labelled scores.

    A model that answers [batch, classes] is a classifier. One that answers a vector a token, [batch, length, width], is
    used without training for it (zero-shot): each of `labels` is described by `template`, and a text is of the class
    whose description is nearest.
    """

    name = "text-classification"
    about = "a text -> labelled scores; zero-shot with an embedder"
    metric = "top-1"
    about_data = (
        "One text file; a table with a column text (.csv, .tsv, or .jsonl of objects); or a folder with one such "
        "table or with text files. A text is labelled by a column label or by its sub-folder, with a class's name"
        " or number."
    )
    about_metric = (
        "top-1: the share of texts whose most likely class is the right one. Without labels, the share of texts on "
        "which a variant names the same one first as the reference."
    )
    suffixes = texts.SUFFIXES
    mime = texts.MIME
    answer = label_scores.Labels
    architectures = (r".*ForSequenceClassification",)
    example = "torchport deploy FOLDER --task text-classification --data reviews.csv -o reviews.tport"
    facts = TextClassFacts
    suspects: ClassVar[tuple[str, ...]] = ("tokenizer", "labels", "max_length", "pooling", "template")

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[TextClassFacts, tuple[str, ...]]:
        """As `Task.resolve`; facts that do not alter an answer, or only where there is no classifier, do not count as
        assumed.
        """
        facts, assumed = super().resolve(settings, text_chain.settings(settings, source))
        return facts, tuple(name for name in assumed if name not in _NOT_ASSUMPTIONS)

    def check(self, facts: TextClassFacts) -> TextClassFacts:
        """See `tokens.check`; a template has a place for a label, else UsageError."""
        if "{}" not in facts.template:
            raise UsageError(
                f"template={facts.template} has no place for a label",
                'write {} there, as in "This news is about {}."',
            )
        return tokens.check(facts)

    def ignored(self, facts: TextClassFacts) -> dict[str, str]:
        """What only zero-shot classification reads."""
        return dict.fromkeys(("pooling", "template"), "the model is a classifier") if facts.classifier else {}

    def items(self, data: Path, facts: TextClassFacts) -> list[Item]:
        """The user's texts, see `shared.texts.items_of`; a label is the name of a class or its number."""
        items, folders = texts.items_of(data), classes.class_folders(data, texts.TABLES, texts.is_text)
        if facts.labels is None and folders and not classes.numbered(folders):
            return [Item(item.name, item.read, folders.index(item.label)) for item in items]
        if facts.labels is None and any(item.label is not None and not _is_number(item.label) for item in items):
            raise BadInput(
                f"{data.name} has labels, and the model's classes have no names",
                "give --set labels=FILE in the order of the model's outputs",
            )
        return [Item(item.name, item.read, self._class(item, facts)) for item in items]

    def _class(self, item: Item, facts: TextClassFacts) -> int | float | None:
        labels = facts.labels
        if item.label is not None and facts.activation == "none" and len(labels or "1") == 1:
            return _number(item)
        found = None if item.label is None else label_scores.index(item.label, labels)
        if item.label is not None and found is None:
            raise BadInput(f"{item.name} is labelled '{item.label}'", f"the labels are {', '.join(labels or ())[:200]}")
        return found

    def split(self, model: torch.nn.Module | ExportedProgram, facts: TextClassFacts, items: Sequence[Item]) -> Split:
        """The graph `model`: token ids -> scores.

        Raises:
            BadInput: the model is no model of token ids, or it has to be told what the classes are.
        """
        from .graphs import text_graphs

        feed = text_graphs.example_feed([texts.decode(item.read()) for item in items], facts)
        encoder, answer = text_graphs.encoder_of(model, facts, feed, scored=True)
        labels = facts.labels
        count = answer.shape[-1] if answer.ndim == 2 else len(labels or ())
        facts = replace(facts, activation=label_scores.activation(facts.activation, count))
        if answer.ndim == 2:
            return text_graphs.one_graph(
                text_graphs.Scored(encoder, facts.activation), replace(facts, classifier=True), feed
            )
        if labels is None:
            raise BadInput(
                "the model answers vectors, not classes",
                "give --set labels=sport,business,... to classify by what is nearest",
            )
        pooled = text_graphs.Pooled(encoder, facts.pooling, normalize=True)
        nearest = text_graphs.Nearest(pooled, text_graphs.described(pooled, facts, labels, facts.template))
        return text_graphs.one_graph(text_graphs.Scored(nearest, facts.activation), facts, feed)

    def bind(self, facts: TextClassFacts, model: Signature) -> TextClassFacts:
        """As they are, where there is a name for each class or none at all; raises BadInput."""
        classes, labels = model.outputs[0].shape[-1], facts.labels
        if labels is not None and classes != len(labels):
            raise BadInput(
                f"labels has {len(labels)} names, the model answers {classes}",
                "give the list the model was trained with",
            )
        return facts

    def steps(self, facts: TextClassFacts, model: Signature) -> tuple[Step, ...]:
        """decode, model, present."""
        return text_chain.steps("scores")

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`: UTF-8 bytes -> token ids; `present`: scores -> the best labels."""
        return {"decode": text_chain.decode, "present": _present}

    def settle(self, data: Path, items: Sequence[Item], facts: TextClassFacts, model: Signature) -> Settled:
        """See `classes.settle`."""
        return classes.settle(classes.class_folders(data, texts.TABLES, texts.is_text), items, facts, model)

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """See `label_scores.right`."""
        return label_scores.right(result, label)

    def grade(
        self, values: Mapping[str, Any], label: Any, facts: TextClassFacts, graphs: Mapping[str, Graph]
    ) -> Grade | None:
        """By `top-1`; of a model with one output by `binary accuracy`, or by `closeness` where it answers a number."""
        metric = label_scores.metric(label, facts.activation)
        return (
            super().grade(values, label, facts, graphs)
            if metric is None
            else Grade(metric, self.score(values["result"], label))
        )

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """See `label_scores.alike`."""
        return label_scores.alike(result, reference)

    def words(self, result: Mapping[str, Any]) -> str:
        """The first label with its score."""
        return label_scores.named(result["labels"][0])

    def label_words(self, label: Any, facts: TextClassFacts) -> str:
        """The name of the class."""
        return label_scores.label_words(label, facts.labels)

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """Every label with its score, the most likely first."""
        return [label_scores.named(one) for one in result["labels"]]

    def files(self, facts: TextClassFacts) -> dict[str, bytes]:
        """`labels.txt`, one name a line, where there are labels."""
        return {"labels.txt": "".join(f"{name}\n" for name in facts.labels).encode()} if facts.labels else {}

    def describe(self, facts: TextClassFacts) -> list[str]:
        """The facts in words, a line each; labels are only counted."""
        return told(facts, labels=label_scores.counted(facts.labels))


def _is_number(label: str) -> bool:
    try:
        float(label.removeprefix("LABEL_"))
    except ValueError:
        return False
    return True


def _number(item: Item) -> float:
    try:
        return float(item.label)
    except ValueError as exc:
        raise BadInput(
            f"{item.name} is labelled '{item.label}'", "the model answers a number, and so is a label"
        ) from exc


def _present(values: Values, facts: TextClassFacts) -> Values:
    return {"result": label_scores.present(values["scores"], facts.labels, facts.top)}
