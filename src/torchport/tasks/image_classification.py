"""The task `image-classification`: a picture in, the most likely classes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec.structs import replace

from ..errors import BadInput
from ..types import Artifact, Signature, Step, TensorSpec
from .base import Task
from .facts import Mark, Reads
from .parts import Grade, Graph, HostStep, Item, Settled, TaskGraph, Values, told
from .shared import classes, label_scores, picture_chain, picture_facts, pictures
from .shared.picture_items import SUFFIXES, is_picture, list_items

IMAGENET = "imagenet-1k"
_NOT_ASSUMPTIONS = frozenset({"labels", "max_pixels", "top"})
_OWN_VALUES = frozenset({"scores"})


def _read_labels(value: Any) -> Any:
    if value == IMAGENET:
        from importlib.resources import files  # slow to import, and a Bundle carries its labels

        value = files("torchport").joinpath("data", f"{IMAGENET}.txt")
    return label_scores.read(value)


class ImageFacts(picture_facts.PictureFacts, frozen=True, kw_only=True):
    """What a classifier of pictures was trained with, and what it answers."""

    labels: Annotated[
        tuple[str, ...] | None,
        f"{label_scores.LABELS}; {IMAGENET} is a list that torchport has.",
        Reads(_read_labels),
        Mark.AT_PREDICT,
    ] = None
    activation: label_scores.Activation = "auto"
    top: label_scores.Top = 5


class ImageClassification(Task[ImageFacts]):
    """A picture -> labelled scores."""

    name = "image-classification"
    about = "a picture -> labelled scores"
    metric = "top-1"
    about_data = (
        "One picture; a folder of pictures; or a CSV file with the columns file (or image, path, filename; relative "
        "to the CSV) and label (or class). "
        "A picture is labelled by its sub-folder, by its name (photo_7.jpg is of class 7), or in the CSV: by a "
        "class's name or number. "
        "Without labels set, sub-folders in alphabetical order are the classes, as in torchvision's ImageFolder."
    )
    about_metric = (
        "top-1: the share of pictures whose most likely class is the right one. Without labels, the share of items on "
        "which a variant names the same one first as the reference."
    )
    suffixes = SUFFIXES
    mime = picture_chain.MIME
    answer = label_scores.Labels
    architectures = (r".*ForImageClassification",)
    example = (
        "torchport deploy net.py:Net --weights net.safetensors --task image-classification --data photos --set "
        "labels=labels.txt -o net.tport"
    )
    facts = ImageFacts
    suspects: ClassVar[tuple[str, ...]] = ("mean", "std", "scale", "color", "resize", "crop", "labels")

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[ImageFacts, tuple[str, ...]]:
        """As `Task.resolve`; a stretch leaves nothing to crop, so that `crop` is none unless it is given too.

        Facts that do not alter an answer (`labels`, `max_pixels`, `top`) do not count as assumed.
        """
        source = picture_chain.settings(settings, source)
        facts, assumed = super().resolve(settings, source)
        return facts, tuple(name for name in assumed if name not in _NOT_ASSUMPTIONS)

    def check(self, facts: ImageFacts) -> ImageFacts:
        """See `picture_facts.check`."""
        return picture_facts.check(facts)

    def bind(self, facts: ImageFacts, model: Signature) -> ImageFacts:
        """The facts with the activation that is usual for so many outputs, where it is `auto`."""
        shape = model.outputs[0].shape
        return replace(facts, activation=label_scores.activation(facts.activation, shape[-1] if shape else None))

    def items(self, data: Path, facts: ImageFacts) -> list[Item]:
        """The user's pictures; see `shared.picture_items.list_items`."""
        return list_items(data, facts.labels)

    def feed(self, items: Sequence[Item], facts: ImageFacts, inputs: Sequence[str] | None) -> dict[str, np.ndarray]:
        """float32 [len(items), channels, height, width] under the name of the model's one input (`input` where it is
        not known).

        Raises:
            BadInput: a picture that cannot be decoded, by name; or a model of several inputs.
        """
        return picture_chain.feed(items, facts, inputs, self.name)

    def steps(self, facts: ImageFacts, model: Signature) -> tuple[Step, ...]:
        """decode, preprocess, model, postprocess (unless the activation is `none`), present.

        Preprocessing has no graph where `reducing_gap` is set: that reduction is Pillow's own.

        Raises:
            BadInput: the model does not take such pictures, or does not answer with one score for each label.
        """
        chain = list(picture_chain.steps(facts, model, self.name, _OWN_VALUES))
        scores = chain[-1].outputs[_logits_of(facts, model).name]
        if facts.activation != "none":
            chain.append(
                Step(
                    name="postprocess",
                    graph="postprocess",
                    host="activate",
                    inputs={"logits": scores},
                    outputs={"scores": "scores"},
                )
            )
            scores = "scores"
        chain.append(Step(name="present", host="present", inputs={"scores": scores}, outputs={"result": "result"}))
        return tuple(chain)

    def graphs(self, facts: ImageFacts, model: Signature, items: Sequence[Item]) -> dict[str, TaskGraph]:
        """`preprocess` (uint8 [height, width, channels] -> pixels) and `postprocess` (float32 [batch, classes] ->
        scores), where there are such steps.
        """
        from .graphs.resample import Activate

        graphs = picture_chain.graphs(facts, items)
        if facts.activation != "none":
            logits = _logits_of(facts, model)
            example = np.random.default_rng(0).normal(
                size=(2, *(size for size in logits.shape[1:] if isinstance(size, int)))
            )
            graphs["postprocess"] = TaskGraph(
                Activate(facts.activation).eval(), {"logits": example.astype(np.float32)}, {"logits": {0: "batch"}}
            )
        return graphs

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`, `resize`, `shrink`, `activate`, `present`."""
        return {**picture_chain.host(), "activate": _activate, "present": _present}

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """See `label_scores.right`."""
        return label_scores.right(result, label)

    def grade(
        self, values: Mapping[str, Any], label: Any, facts: ImageFacts, graphs: Mapping[str, Graph]
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

    def settle(self, data: Path, items: Sequence[Item], facts: ImageFacts, model: Signature) -> Settled:
        """See `classes.settle`."""
        return classes.settle(
            classes.class_folders(data, (".csv",), is_picture),
            items,
            facts,
            model,
            from_names=data.is_dir() and len(list(data.glob("*.csv"))) != 1,
        )

    def words(self, result: Mapping[str, Any]) -> str:
        """The first label with its score."""
        return label_scores.named(result["labels"][0])

    def label_words(self, label: Any, facts: ImageFacts) -> str:
        """The name of the class."""
        return label_scores.label_words(label, facts.labels)

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """Every label with its score, the most likely first."""
        return [label_scores.named(one) for one in result["labels"]]

    def thumbnail(self, raw: bytes) -> bytes | None:
        """The picture as a JPEG of at most 160 pixels a side."""
        return pictures.thumbnail(raw, 160)

    def snippets(self, facts: ImageFacts, model: Signature, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
        """As `Task.snippets`, with these facts filled in."""
        from .shared import picture_snippets

        return picture_snippets.programs(facts, model, artifacts)

    def files(self, facts: ImageFacts) -> dict[str, bytes]:
        """`labels.txt`, one name a line, where there are labels."""
        return {"labels.txt": "".join(f"{name}\n" for name in facts.labels).encode()} if facts.labels else {}

    def describe(self, facts: ImageFacts) -> list[str]:
        """The facts in words, a line each; labels are only counted."""
        return told(facts, labels=label_scores.counted(facts.labels))


def _logits_of(facts: ImageFacts, model: Signature) -> TensorSpec:
    spec, labels = model.outputs[0], facts.labels
    if len(spec.shape) != 2 or not isinstance(spec.shape[1], int):
        raise BadInput(
            f"the model's first output is {picture_chain.shown(spec)}",
            "image-classification takes [batch, classes]; use --task tensor",
        )
    if labels is not None and len(labels) != spec.shape[1]:
        raise BadInput(
            f"labels has {len(labels)} names, the model answers {spec.shape[1]}",
            "give the list the model was trained with",
        )
    return spec


def _activate(values: Values, facts: ImageFacts) -> Values:
    logits = np.asarray(values["logits"], np.float32)
    with np.errstate(invalid="ignore"):  # `_present` reports what is no number
        if facts.activation == "sigmoid":
            return {"scores": np.exp(-np.logaddexp(np.float32(0), -logits))}
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return {"scores": powers / powers.sum(axis=1, keepdims=True)}


def _present(values: Values, facts: ImageFacts) -> Values:
    return {"result": label_scores.present(values["scores"], facts.labels, facts.top)}
