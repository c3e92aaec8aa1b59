"""The task `image-recognition`: who or what is this, among those enrolled in a gallery; or what is written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import BadInput, RunError, UsageError
from ..types import Signature, Step, TensorSpec, Value
from .base import Task
from .parts import Facts, HostStep, Item, Split, TaskGraph, Values
from .shared import ctc, picture_chain, picture_facts, pictures
from .shared import gallery as galleries
from .shared.picture_items import SUFFIXES, list_named

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

HEADS = ("embedding", "ctc")
UNKNOWN = "unknown"
_OWN_VALUES = frozenset({"embedding", "probabilities"})
_ASSUMED = frozenset(picture_facts.DEFAULTS) - {"max_pixels"}


class Match(Value, frozen=True):
    """One of those enrolled: the picture of theirs that is most alike, and the cosine of the two embeddings."""

    label: str
    picture: str
    score: float


class Recognised(Value, frozen=True):
    """Who or what is shown, or what is written.

    Attributes:
        label: an enrolled label, `unknown`, or the text; `known` is false for `unknown` and for a text of no character.
        score: the best match's similarity; of a text, the least probability of one of its characters.
        threshold: the similarity that a match must exceed; null for a text.
        matches: the most similar of those enrolled, best first; none for a text.
    """

    label: str
    known: bool
    score: float
    threshold: float | None
    matches: tuple[Match, ...]


class ImageRecognition(Task):
    """A picture -> who or what it shows, or what is written there."""

    name = "image-recognition"
    about = "a picture -> who or what it shows, of those enrolled; or the text in it"
    metric = "right answers"
    about_data = (
        "One picture; a folder of pictures; or a CSV file with the columns file (or image, path, filename; relative "
        "to the CSV) and label (or class). "
        "A label is who or what is shown (unknown: a stranger), or the text that is written there: in the CSV, as"
        " the sub-folder's name, or as photo_LABEL.jpg."
    )
    about_metric = (
        "right answers: the share of pictures with the right name, or the right text to the letter. Without labels, "
        "the share answered as by the reference."
    )
    suffixes = SUFFIXES
    mime = picture_chain.MIME
    answer = Recognised
    example = (
        "torchport deploy net.py:Net --weights net.safetensors --task image-recognition --set gallery=people --data "
        "photos -o net.tport"
    )
    defaults: ClassVar[Mapping[str, Any]] = {
        **picture_facts.DEFAULTS,
        "head": "embedding",
        "gallery": None,
        "far": 0.01,
        "threshold": None,
        "top": 5,
        "alphabet": None,
        "blank": 0,
    }
    about_facts: ClassVar[Mapping[str, str]] = {
        **picture_facts.ABOUT,
        "resize": "Shortest side in pixels, 1 to 4096, the height where nothing is cropped; or height,width in pixels, "
        "to stretch to.",
        "head": "What the model answers: embedding (a vector, compared with a gallery's) or ctc (logits [batch, time, "
        "classes] of characters).",
        "gallery": "Of an embedding: labelled pictures in a form that --data takes, enrolled at deploy; or a file "
        "that torchport.gallery wrote.",
        "far": "Of an embedding: false accept rate, the share of strangers that may be taken for somebody; 0 to 1.",
        "threshold": "Of an embedding: least cosine similarity of a match, -1 to 1; none: chosen by far.",
        "top": "Of an embedding: how many matches are answered. A whole number from 1 on.",
        "alphabet": "Of a ctc head: the characters in the order of the model's classes, without the blank.",
        "blank": "Of a ctc head: the index of the class that stands for no character. A whole number from 0 on.",
    }
    suspects: ClassVar[tuple[str, ...]] = (
        "mean",
        "std",
        "scale",
        "color",
        "resize",
        "crop",
        "gallery",
        "alphabet",
        "blank",
    )
    at_predict: ClassVar[frozenset[str]] = frozenset({"far", "gallery", "max_pixels", "threshold", "top"})

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[Facts, tuple[str, ...]]:
        """As `Task.resolve`; a stretch, or a line of text of any width, leaves nothing to crop. Only picture facts
        count as assumed.
        """
        known = {**source, **settings}
        if "resize" in known and "crop" not in known and picture_facts.parse(known.get("head")) == "ctc":
            source = {**source, "crop": None}
        facts, assumed = super().resolve(settings, picture_chain.settings(settings, source))
        return facts, tuple(name for name in assumed if name in _ASSUMED)

    def check(self, facts: Facts) -> Facts:
        """Validate and normalise resolved facts; raises UsageError."""
        head = picture_facts.choice("head", facts["head"], *HEADS)
        checked = {
            **picture_facts.check(facts, free=head == "ctc"),
            "head": head,
            "gallery": _gallery(facts["gallery"]) if head == "embedding" else None,
            "far": _number("far", facts["far"], 0, 1),
            "threshold": None
            if picture_facts.parse(facts["threshold"]) is None
            else _number("threshold", facts["threshold"], -1, 1),
            "top": picture_facts.whole("top", picture_facts.parse(facts["top"])),
            "alphabet": list(facts["alphabet"]) if facts["alphabet"] else None,
            "blank": picture_facts.whole("blank", picture_facts.parse(facts["blank"]), least=0),
        }
        if head == "ctc" and not checked["alphabet"]:
            raise UsageError(
                "a ctc head needs an alphabet",
                "give the characters in the order of the model's classes, without the blank: alphabet=0123456789",
            )
        return checked

    def ignored(self, facts: Facts) -> dict[str, str]:
        """Facts of the other head, and a rate of strangers beside a threshold."""
        others = ("alphabet", "blank") if facts["head"] == "embedding" else ("gallery", "far", "threshold", "top")
        found = dict.fromkeys(others, f"the head is {facts['head']}")
        return found | ({"far": "threshold is given"} if facts["threshold"] is not None else {})

    def items(self, data: Path, facts: Facts) -> list[Item]:
        """The user's pictures, labelled by who they show (`unknown`: a stranger) or by their text; see `list_named`."""
        return list_named(data)

    def split(self, model: torch.nn.Module | ExportedProgram, facts: Facts, items: Sequence[Item]) -> Split | None:
        """For an embedding, the model as it is, with the gallery's pictures enrolled; the file is what the Bundle
        carries.
        """
        if facts["head"] != "embedding":
            return None
        from .shared.enrolment import enrolled, model_hash

        made = {**facts, "model": model_hash(model)}
        made["gallery"] = enrolled(model, made, self.name)
        examples = picture_chain.feed(items, facts, [""], self.name)
        return Split({"model": TaskGraph(model, examples, dims=None)}, made)  # type: ignore[arg-type]  # a program is captured as well

    def feed(self, items: Sequence[Item], facts: Facts, inputs: Sequence[str] | None) -> dict[str, np.ndarray]:
        """float32 [len(items), channels, height, width]; see `picture_chain.feed`."""
        return picture_chain.feed(items, facts, inputs, self.name)

    def free(self, facts: Facts) -> dict[int, str]:
        """The width of a line of text, where it is neither stretched nor cropped."""
        return {3: "width"} if picture_facts.is_free(facts) else {}

    def bind(self, facts: Facts, model: Signature) -> Facts:
        """The facts as they are, where the model's first output fits them.

        Raises:
            BadInput: another shape, another number of classes or another size than the gallery's.
        """
        output, size = _output(facts, model), model.outputs[0].shape[-1]
        if facts["head"] == "ctc" and (size != len(facts["alphabet"]) + 1 or facts["blank"] >= size):
            raise BadInput(
                f"the model answers {picture_chain.shown(output)}, the alphabet has {len(facts['alphabet'])} "
                "characters and one blank",
                "give one character for each class but the blank",
            )
        return facts

    def steps(self, facts: Facts, model: Signature) -> tuple[Step, ...]:
        """decode, preprocess, model, postprocess (a unit vector, or probabilities), present."""
        chain = picture_chain.steps(facts, model, self.name, _OWN_VALUES)
        output = chain[-1].outputs[_output(facts, model).name]
        made, host, end = (
            ("embedding", "unit", "recognise") if facts["head"] == "embedding" else ("probabilities", "softmax", "read")
        )
        return (
            *chain,
            Step(name="postprocess", graph="postprocess", host=host, inputs={"output": output}, outputs={made: made}),
            Step(name="present", host=end, inputs={made: made}, outputs={"result": "result"}),
        )

    def graphs(self, facts: Facts, model: Signature, items: Sequence[Item]) -> dict[str, TaskGraph]:
        """`preprocess`, and `postprocess` on the model's first output."""
        from .graphs.recognition_graphs import Frames, Unit

        shape = [2, *(size if isinstance(size, int) else 8 for size in _output(facts, model).shape[1:])]
        example = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        dims = {
            axis: "time" for axis, size in enumerate(_output(facts, model).shape) if axis == 1 and isinstance(size, str)
        }
        module = (Unit() if facts["head"] == "embedding" else Frames()).eval()
        return {
            **picture_chain.graphs(facts, items),
            "postprocess": TaskGraph(module, {"output": example}, {"output": {0: "batch", **dims}}),
        }

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`, `resize`, `shrink`; `unit` and `recognise`, `softmax` and `read`."""
        return {**picture_chain.host(), "unit": _unit, "recognise": _recognise, "softmax": _softmax, "read": _read}

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """1.0 for the right label or text, else 0.0."""
        return float(result["label"] == label)

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether both results name the same label or text."""
        return bool(result["label"] == reference["label"])

    def words(self, result: Mapping[str, Any]) -> str:
        """The label or text with its score."""
        return (
            f"{result['label']!r} {result['score']:.2f}"
            if result["threshold"] is None
            else f"{result['label']} {result['score']:.2f}"
        )

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """The answer, and for an embedding how it compares."""
        if result["threshold"] is None:
            return [self.words(result)]
        return [
            f"{self.words(result)} (over {result['threshold']:.2f} is known)",
            *(f"{one['label']} {one['score']:.2f} ({one['picture']})" for one in result["matches"]),
        ]

    def thumbnail(self, raw: bytes) -> bytes | None:
        """The picture as a JPEG of at most 160 pixels a side."""
        return pictures.thumbnail(raw, 160)


def _gallery(value: Any) -> Path:
    if value is None:
        raise UsageError(
            "an embedding is compared with a gallery, and there is none", "give labelled pictures: --set gallery=FOLDER"
        )
    path = Path(value)
    if not path.exists():
        raise UsageError(
            f"gallery: there is no '{path}'",
            "give a folder of labelled pictures, a CSV file with the columns file,label, or a gallery's file",
        )
    return path


def _number(name: str, value: Any, least: float, most: float) -> float:
    number = picture_facts.parse(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not least <= number <= most:
        raise UsageError(f"{name} is {value!r}", f"it takes a number from {least} to {most}")
    return float(number)


def _output(facts: Facts, model: Signature) -> TensorSpec:
    spec, axes = model.outputs[0], 2 if facts["head"] == "embedding" else 3
    if len(spec.shape) != axes or not isinstance(spec.shape[-1], int):
        wanted = "[batch, size] of an embedding" if axes == 2 else "[batch, time, classes] of a ctc head"
        raise BadInput(
            f"the model's first output is {picture_chain.shown(spec)}, not {wanted}",
            "set head, or wrap the model so that its first output is that",
        )
    return spec


def _unit(values: Values, facts: Facts) -> Values:
    return {"embedding": galleries.unit(values["output"])}


def _softmax(values: Values, facts: Facts) -> Values:
    logits = np.asarray(values["output"], np.float32)
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return {"probabilities": powers / powers.sum(axis=2, keepdims=True)}


def _recognise(values: Values, facts: Facts) -> Values:
    embedding = np.asarray(values["embedding"])[0]
    if not np.isfinite(embedding).all():
        raise RunError(
            "the model answered NaN or infinity",
            "check the weights and the preprocessing facts, or use a variant of a higher precision",
        )
    gallery = galleries.load(Path(facts["gallery"]))
    if gallery.model != facts["model"] or gallery.embeddings.shape[1] != len(embedding):
        raise BadInput(
            f"gallery: {Path(facts['gallery']).name} was enrolled with another model",
            "enrol the pictures again, with this Bundle",
        )
    threshold = facts["threshold"]
    if threshold is None:
        threshold = gallery.threshold(facts["far"])
    if threshold is None:
        raise BadInput(
            "gallery: with fewer than two labels there is no telling who is a stranger",
            "enrol more, or set a threshold",
        )
    matches = gallery.search(embedding, facts["top"])
    known = bool(matches) and matches[0].score > threshold
    found = [{"label": one.label, "picture": one.picture, "score": one.score} for one in matches]
    return {
        "result": {
            "label": matches[0].label if known else UNKNOWN,
            "known": known,
            "score": matches[0].score if matches else -1.0,
            "threshold": threshold,
            "matches": found,
        }
    }


def _read(values: Values, facts: Facts) -> Values:
    probabilities = np.asarray(values["probabilities"])[0]
    if not np.isfinite(probabilities).all():
        raise RunError(
            "the model answered NaN or infinity",
            "check the weights and the preprocessing facts, or use a variant of a higher precision",
        )
    best, blank = probabilities.argmax(1), facts["blank"]
    runs = ctc.collapse(best.tolist(), blank)
    characters = [*facts["alphabet"][:blank], "", *facts["alphabet"][blank:]]
    sure = [float(probabilities[first:end, symbol].max()) for symbol, first, end in runs]
    return {
        "result": {
            "label": "".join(characters[symbol] for symbol, _, _ in runs),
            "known": bool(runs),
            "score": min(sure, default=0.0),
            "threshold": None,
            "matches": [],
        }
    }
