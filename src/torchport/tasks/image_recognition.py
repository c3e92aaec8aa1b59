"""The task `image-recognition`: who or what is this, among those enrolled in a gallery; or what is written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from ..errors import BadInput, RunError, UsageError
from ..types import Signature, Step, TensorSpec, Value
from .base import Task
from .facts import Mark, Reads
from .kinds import MOST, Count, Share, parse
from .parts import HostStep, Item, Split, TaskGraph, Values
from .shared import ctc, picture_chain, picture_facts, pictures
from .shared import gallery as galleries
from .shared.picture_items import SUFFIXES, list_named

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

UNKNOWN = "unknown"
_OWN_VALUES = frozenset({"embedding", "probabilities"})


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


def _gallery(value: Any) -> Path:
    path = Path(value)
    if not path.exists():
        raise UsageError(
            f"gallery: there is no '{path}'",
            "give a folder of labelled pictures, a CSV file with the columns file,label, or a gallery's file",
        )
    return path


class RecognitionFacts(picture_facts.PictureFacts, frozen=True, kw_only=True):
    """What a recogniser was trained with, and whom or what it knows."""

    resize: Annotated[
        picture_facts.Side | picture_facts.Sides,
        "Shortest side in pixels, the height where nothing is cropped; or height,width in pixels, to stretch to.",
    ] = 256
    head: Annotated[
        Literal["embedding", "ctc"],
        "What the model answers: embedding (a vector, compared with a gallery's) or ctc (logits "
        "[batch, time, classes] of characters).",
    ] = "embedding"
    gallery: Annotated[
        Path | None,
        "Of an embedding, which needs one: labelled pictures in a form that --data takes, enrolled at "
        "deploy; or a file that torchport.gallery wrote.",
        Reads(_gallery),
        Mark.AT_PREDICT,
    ] = None
    far: Annotated[
        Share,
        "Of an embedding: false accept rate, the share of strangers that may be taken for somebody.",
        Mark.AT_PREDICT,
    ] = 0.01
    threshold: Annotated[
        Annotated[float, Meta(ge=-1, le=1)] | None,
        "Of an embedding: least cosine similarity of a match; none: chosen by far.",
        Mark.AT_PREDICT,
    ] = None
    top: Annotated[Count, "Of an embedding: how many matches are answered.", Mark.AT_PREDICT] = 5
    alphabet: Annotated[
        tuple[str, ...] | None,
        "Of a ctc head, which needs one: the characters in the order of the model's classes, without the blank.",
        Reads(lambda characters: list(characters) or None),
    ] = None
    blank: Annotated[
        int, Meta(ge=0, le=MOST), "Of a ctc head: the index of the class that stands for no character."
    ] = 0
    model: Annotated[str, "Hash of the model that the gallery is of.", Mark.TOLD] = ""


_ASSUMED = frozenset(picture_facts.PictureFacts.__struct_fields__) - {"max_pixels"}


class ImageRecognition(Task[RecognitionFacts]):
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
    facts = RecognitionFacts
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

    def resolve(
        self, settings: Mapping[str, Any], source: Mapping[str, Any]
    ) -> tuple[RecognitionFacts, tuple[str, ...]]:
        """As `Task.resolve`; a stretch, or a line of text of any width, leaves nothing to crop. Only picture facts
        count as assumed.
        """
        known = {**source, **settings}
        if "resize" in known and "crop" not in known and parse(known.get("head")) == "ctc":
            source = {**source, "crop": None}
        facts, assumed = super().resolve(settings, picture_chain.settings(settings, source))
        return facts, tuple(name for name in assumed if name in _ASSUMED)

    def check(self, facts: RecognitionFacts) -> RecognitionFacts:
        """See `picture_facts.check`; an embedding needs a gallery and a ctc head an alphabet, else UsageError."""
        if facts.head == "ctc" and not facts.alphabet:
            raise UsageError(
                "a ctc head needs an alphabet",
                "give the characters in the order of the model's classes, without the blank: alphabet=0123456789",
            )
        if facts.head == "embedding" and facts.gallery is None:
            raise UsageError(
                "an embedding is compared with a gallery, and there is none",
                "give labelled pictures: --set gallery=FOLDER",
            )
        checked = picture_facts.check(facts, free=facts.head == "ctc")
        return checked if facts.head == "embedding" else replace(checked, gallery=None)

    def ignored(self, facts: RecognitionFacts) -> dict[str, str]:
        """Facts of the other head, and a rate of strangers beside a threshold."""
        others = ("alphabet", "blank") if facts.head == "embedding" else ("gallery", "far", "threshold", "top")
        found = dict.fromkeys(others, f"the head is {facts.head}")
        return found | ({"far": "threshold is given"} if facts.threshold is not None else {})

    def items(self, data: Path, facts: RecognitionFacts) -> list[Item]:
        """The user's pictures, labelled by who they show (`unknown`: a stranger) or by their text; see `list_named`."""
        return list_named(data)

    def split(
        self, model: torch.nn.Module | ExportedProgram, facts: RecognitionFacts, items: Sequence[Item]
    ) -> Split | None:
        """For an embedding, the model as it is, with the gallery's pictures enrolled; the file is what the Bundle
        carries.
        """
        if facts.head != "embedding":
            return None
        from .shared.enrolment import enrolled, model_hash

        made = replace(facts, model=model_hash(model))
        made = replace(made, gallery=enrolled(model, made, self.name))
        examples = picture_chain.feed(items, facts, [""], self.name)
        return Split({"model": TaskGraph(model, examples, dims=None)}, made)  # type: ignore[arg-type]  # a program is captured as well

    def feed(
        self, items: Sequence[Item], facts: RecognitionFacts, inputs: Sequence[str] | None
    ) -> dict[str, np.ndarray]:
        """float32 [len(items), channels, height, width]; see `picture_chain.feed`."""
        return picture_chain.feed(items, facts, inputs, self.name)

    def free(self, facts: RecognitionFacts) -> dict[int, str]:
        """The width of a line of text, where it is neither stretched nor cropped."""
        return {3: "width"} if picture_facts.is_free(facts) else {}

    def bind(self, facts: RecognitionFacts, model: Signature) -> RecognitionFacts:
        """The facts as they are, where the model's first output fits them.

        Raises:
            BadInput: another shape, another number of classes or another size than the gallery's.
        """
        output, size = _output(facts, model), model.outputs[0].shape[-1]
        alphabet = facts.alphabet or ()
        if facts.head == "ctc" and (size != len(alphabet) + 1 or facts.blank >= size):
            raise BadInput(
                f"the model answers {picture_chain.shown(output)}, the alphabet has {len(alphabet)} "
                "characters and one blank",
                "give one character for each class but the blank",
            )
        return facts

    def steps(self, facts: RecognitionFacts, model: Signature) -> tuple[Step, ...]:
        """decode, preprocess, model, postprocess (a unit vector, or probabilities), present."""
        chain = picture_chain.steps(facts, model, self.name, _OWN_VALUES)
        output = chain[-1].outputs[_output(facts, model).name]
        made, host, end = (
            ("embedding", "unit", "recognise") if facts.head == "embedding" else ("probabilities", "softmax", "read")
        )
        return (
            *chain,
            Step(name="postprocess", graph="postprocess", host=host, inputs={"output": output}, outputs={made: made}),
            Step(name="present", host=end, inputs={made: made}, outputs={"result": "result"}),
        )

    def graphs(self, facts: RecognitionFacts, model: Signature, items: Sequence[Item]) -> dict[str, TaskGraph]:
        """`preprocess`, and `postprocess` on the model's first output."""
        from .graphs.recognition_graphs import Frames, Unit

        shape = [2, *(size if isinstance(size, int) else 8 for size in _output(facts, model).shape[1:])]
        example = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        dims = {
            axis: "time" for axis, size in enumerate(_output(facts, model).shape) if axis == 1 and isinstance(size, str)
        }
        module = (Unit() if facts.head == "embedding" else Frames()).eval()
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


def _output(facts: RecognitionFacts, model: Signature) -> TensorSpec:
    spec, axes = model.outputs[0], 2 if facts.head == "embedding" else 3
    if len(spec.shape) != axes or not isinstance(spec.shape[-1], int):
        wanted = "[batch, size] of an embedding" if axes == 2 else "[batch, time, classes] of a ctc head"
        raise BadInput(
            f"the model's first output is {picture_chain.shown(spec)}, not {wanted}",
            "set head, or wrap the model so that its first output is that",
        )
    return spec


def _unit(values: Values, facts: RecognitionFacts) -> Values:
    return {"embedding": galleries.unit(values["output"])}


def _softmax(values: Values, facts: RecognitionFacts) -> Values:
    logits = np.asarray(values["output"], np.float32)
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return {"probabilities": powers / powers.sum(axis=2, keepdims=True)}


def _recognise(values: Values, facts: RecognitionFacts) -> Values:
    embedding = np.asarray(values["embedding"])[0]
    if not np.isfinite(embedding).all():
        raise RunError(
            "the model answered NaN or infinity",
            "check the weights and the preprocessing facts, or use a variant of a higher precision",
        )
    assert facts.gallery is not None, "the task has checked it"
    gallery = galleries.load(facts.gallery)
    if gallery.model != facts.model or gallery.embeddings.shape[1] != len(embedding):
        raise BadInput(
            f"gallery: {facts.gallery.name} was enrolled with another model",
            "enrol the pictures again, with this Bundle",
        )
    threshold = facts.threshold
    if threshold is None:
        threshold = gallery.threshold(facts.far)
    if threshold is None:
        raise BadInput(
            "gallery: with fewer than two labels there is no telling who is a stranger",
            "enrol more, or set a threshold",
        )
    matches = gallery.search(embedding, facts.top)
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


def _read(values: Values, facts: RecognitionFacts) -> Values:
    probabilities = np.asarray(values["probabilities"])[0]
    if not np.isfinite(probabilities).all():
        raise RunError(
            "the model answered NaN or infinity",
            "check the weights and the preprocessing facts, or use a variant of a higher precision",
        )
    best, blank, alphabet = probabilities.argmax(1), facts.blank, facts.alphabet or ()
    runs = ctc.collapse(best.tolist(), blank)
    characters = [*alphabet[:blank], "", *alphabet[blank:]]
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
