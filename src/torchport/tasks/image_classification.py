"""The task `image-classification`: a picture in, the most likely classes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import BadInput, RunError, UsageError
from ..types import Artifact, Levels, Signature, Step, TensorSpec, Value
from .base import Facts, HostStep, Item, Task, TaskGraph, Values
from .shared import picture_facts, pictures, resize
from .shared.picture_items import SUFFIXES, list_items

IMAGENET = "imagenet-1k"
ACTIVATIONS = ("softmax", "sigmoid", "none")
_NOT_ASSUMPTIONS = frozenset({"labels", "max_pixels", "top"})
_OWN_VALUES = frozenset({"image", "pixels", "raw", "result", "scores"})


class Label(Value, frozen=True):
    """A class: its index among the model's outputs, its name, and its score."""

    index: int
    label: str
    score: float


class Labels(Value, frozen=True):
    """The most likely classes, best first."""

    labels: tuple[Label, ...]


class ImageClassification(Task):
    """A picture -> labelled scores.

    Facts: those of `shared.picture_facts`, and `labels` (a file with one name a line, `imagenet-1k`, or a list of names; in resolved facts
    the list, or None), `activation` (`softmax`, `sigmoid`, `none`: what makes scores of the model's first output), `top` (how many labels
    are answered).
    """

    name = "image-classification"
    about = "a picture -> labelled scores"
    metric = "top-1"
    suffixes = SUFFIXES
    mime: ClassVar[Mapping[str, str]] = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/bmp": ".bmp"}
    answer = Labels
    example = "torchport deploy net.py:Net --weights net.safetensors --task image-classification --data photos --set labels=labels.txt -o net.tport"
    defaults: ClassVar[Mapping[str, Any]] = {**picture_facts.DEFAULTS, "labels": None, "activation": "softmax", "top": 5}

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[Facts, tuple[str, ...]]:
        """As `Task.resolve`; a stretch leaves nothing to crop, so that `crop` is none unless it is given too.

        Facts that do not alter an answer (`labels`, `max_pixels`, `top`) do not count as assumed.
        """
        given = {**source, **settings}
        if "crop" not in given and isinstance(picture_facts.parse(given.get("resize")), list):
            source = {**source, "crop": None}
        if picture_facts.parse(given.get("scale")) == 255 and not {"mean", "std"} <= set(given):
            raise UsageError("scale=255 without mean and std", "give both, of pixels in 0..255, such as mean=127.5 std=127.5")
        facts, assumed = super().resolve(settings, source)
        return facts, tuple(name for name in assumed if name not in _NOT_ASSUMPTIONS)

    def check(self, facts: Facts) -> Facts:
        """Validate and normalise resolved facts; raises UsageError."""
        return {
            **picture_facts.check(facts),
            "labels": _read_labels(facts["labels"]),
            "activation": picture_facts.choice("activation", "none" if facts["activation"] is None else facts["activation"], *ACTIVATIONS),
            "top": picture_facts.whole("top", picture_facts.parse(facts["top"])),
        }

    def items(self, data: Path, facts: Facts) -> list[Item]:
        """The user's pictures; see `shared.picture_items.list_items`."""
        return list_items(data, facts["labels"])

    def feed(self, items: Sequence[Item], facts: Facts, inputs: Sequence[str] | None) -> dict[str, np.ndarray]:
        """float32 [len(items), channels, height, width] under the name of the model's one input (`input` where it is not known).

        Raises:
            BadInput: a picture that cannot be decoded, by name; or a model of several inputs.
        """
        names = ["input"] if inputs is None else list(inputs)
        if len(names) != 1:
            raise BadInput(f"the model takes {len(names)} inputs: {', '.join(names)}", "image-classification feeds one picture; use --task tensor")
        batch = np.empty((len(items), picture_facts.channels(facts), *resize.output_size(facts)), np.float32)
        for place, item in zip(batch, items, strict=True):
            try:
                image = pictures.decode(item.read(), facts["color"])
            except BadInput as exc:
                raise BadInput(f"{item.name}: {exc.message}", exc.hint) from exc
            place[:] = resize.to_pixels(image, facts)[0]
        return {names[0]: batch}

    def steps(self, facts: Facts, model: Signature) -> tuple[Step, ...]:
        """decode, preprocess, model, postprocess (unless the activation is `none`), present.

        Preprocessing has no graph where `reducing_gap` is set: that reduction is Pillow's own.

        Raises:
            BadInput: the model does not take such pictures, or does not answer with one score for each label.
        """
        source, logits = _input_of(facts, model), _logits_of(facts, model)
        outputs = {spec.name: f"model_{spec.name}" if spec.name in _OWN_VALUES else spec.name for spec in model.outputs}
        scores = outputs[logits.name]
        graph, fit = (None, None) if facts["reducing_gap"] is not None else ("preprocess", "shrink")
        chain = [
            Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"image": "image"}),
            Step(name="preprocess", graph=graph, host="resize", inputs={"image": "image"}, outputs={"pixels": "pixels"}, fit=fit, levels=_levels(facts)),
            Step(name="model", graph="model", inputs={source.name: "pixels"}, outputs=outputs),
        ]
        if facts["activation"] != "none":
            chain.append(Step(name="postprocess", graph="postprocess", host="activate", inputs={"logits": scores}, outputs={"scores": "scores"}))
            scores = "scores"
        chain.append(Step(name="present", host="present", inputs={"scores": scores}, outputs={"result": "result"}))
        return tuple(chain)

    def graphs(self, facts: Facts, model: Signature, items: Sequence[Item]) -> dict[str, TaskGraph]:
        """`preprocess` (uint8 [height, width, channels] -> pixels) and `postprocess` (float32 [batch, classes] -> scores), where there are such steps."""
        from .shared.resample import Activate, Resample

        graphs = {}
        if facts["reducing_gap"] is None:
            image = _example(facts, items)
            dims = {0: "height", 1: "width"}
            graphs["preprocess"] = TaskGraph(Resample(facts).eval(), {"image": image}, {"image": dims}, dict.fromkeys(dims.values(), (1, None)))
        if facts["activation"] != "none":
            logits = _logits_of(facts, model)
            example = np.random.default_rng(0).normal(size=(2, *(size for size in logits.shape[1:] if isinstance(size, int))))
            graphs["postprocess"] = TaskGraph(Activate(facts["activation"]).eval(), {"logits": example.astype(np.float32)}, {"logits": {0: "batch"}})
        return graphs

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`, `resize`, `shrink`, `activate`, `present`."""
        return {"decode": _decode, "resize": _resize, "shrink": _shrink, "activate": _activate, "present": _present}

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """1.0 where the first label is the right class, else 0.0."""
        return float(result["labels"][0]["index"] == label)

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether both results name the same class first."""
        return bool(result["labels"][0]["index"] == reference["labels"][0]["index"])

    def check_items(self, items: Sequence[Item], model: Signature) -> None:
        """Every labelled item has a class that the model answers; raises BadInput naming the first that has not."""
        classes = model.outputs[0].shape[1]
        for item in items:
            if item.label is not None and isinstance(classes, int) and not 0 <= int(item.label) < classes:
                raise BadInput(f"{item.name} is labelled {item.label}, the model answers classes 0..{classes - 1}", "give labels as class numbers, or the model's own list of names")

    def words(self, result: Mapping[str, Any]) -> str:
        """The first label with its score."""
        return _named(result["labels"][0])

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """Every label with its score, the most likely first."""
        return [_named(one) for one in result["labels"]]

    def thumbnail(self, raw: bytes) -> bytes | None:
        """The picture as a JPEG of at most 160 pixels a side."""
        return pictures.thumbnail(raw, 160)

    def snippets(self, facts: Facts, model: Signature, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
        """As `Task.snippets`, with these facts filled in."""
        from .shared import picture_snippets

        return picture_snippets.programs(facts, model, artifacts)

    def files(self, facts: Facts) -> dict[str, bytes]:
        """`labels.txt`, one name a line, where there are labels."""
        return {"labels.txt": "".join(f"{name}\n" for name in facts["labels"]).encode()} if facts["labels"] else {}

    def describe(self, facts: Facts) -> list[str]:
        """The facts in words, a line each; labels are only counted."""
        labels = facts["labels"]
        return super().describe({**facts, "labels": f"{len(labels)} names" if labels else "none: classes are numbered"})


def _levels(facts: Facts) -> Levels:
    """One level of 0..255 as the model sees it; a rounding may flip on 0.1 % of pixels where runtimes sum in another order."""
    return Levels(size=float(facts["scale"] / (255 * np.min(facts["std"]))), share=0.001)


def _named(label: Mapping[str, Any]) -> str:
    return f"{label['label']} {label['score']:.1%}" if 0 <= label["score"] <= 1 else f"{label['label']} {label['score']:.4g}"


def _read_labels(value: Any) -> list[str] | None:
    if value is None or isinstance(value, list | tuple):
        return list(map(str, value)) if value else None
    from importlib.resources import files  # slow to import, and a Bundle carries its labels

    path = files("torchport").joinpath("data", f"{IMAGENET}.txt") if value == IMAGENET else Path(str(value))
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"labels: '{value}' cannot be read", f"give a text file with one name a line, or {IMAGENET}") from exc
    if not names:
        raise UsageError(f"labels: '{value}' is empty", "give one name a line")
    return names


def _input_of(facts: Facts, model: Signature) -> TensorSpec:
    if len(model.inputs) != 1:
        raise BadInput(f"the model takes {len(model.inputs)} inputs", "image-classification feeds one picture; use --task tensor")
    spec = model.inputs[0]
    wanted = ("batch", picture_facts.channels(facts), *resize.output_size(facts))
    fits = spec.dtype == "float32" and len(spec.shape) == 4 and all(isinstance(a, str) or a == b for a, b in zip(spec.shape[1:], wanted[1:], strict=True))
    if not fits:
        raise BadInput(f"the model takes {_shown(spec)}, the facts give float32[{','.join(map(str, wanted))}]", "set resize, crop and color to what it was trained with")
    return spec


def _logits_of(facts: Facts, model: Signature) -> TensorSpec:
    spec, labels = model.outputs[0], facts["labels"]
    if len(spec.shape) != 2 or not isinstance(spec.shape[1], int):
        raise BadInput(f"the model's first output is {_shown(spec)}", "image-classification takes [batch, classes]; use --task tensor")
    if labels is not None and len(labels) != spec.shape[1]:
        raise BadInput(f"labels has {len(labels)} names, the model answers {spec.shape[1]}", "give the list the model was trained with")
    return spec


def _shown(spec: TensorSpec) -> str:
    return f"{spec.dtype}[{','.join(map(str, spec.shape))}]"


def _example(facts: Facts, items: Sequence[Item]) -> np.ndarray:
    """A picture of 300 x 320 pixels to capture with: the user's first one, or else seeded noise."""
    if not items:
        return np.random.default_rng(0).integers(0, 256, (300, 320, picture_facts.channels(facts)), np.uint8)
    image = pictures.decode(items[0].read(), facts["color"])
    small = np.array(pictures.to_pillow(image).resize((320, 300)))
    return small.reshape(300, 320, -1)


def _decode(values: Values, facts: Facts) -> Values:
    return {"image": pictures.decode(values["raw"], facts["color"])}


def _resize(values: Values, facts: Facts) -> Values:
    return {"pixels": resize.to_pixels(values["image"], facts)}


def _shrink(values: Values, facts: Facts) -> Values:
    return {"image": pictures.shrink(values["image"], values["max_shape"]["image"], facts["max_pixels"])}


def _activate(values: Values, facts: Facts) -> Values:
    logits = np.asarray(values["logits"], np.float32)
    with np.errstate(invalid="ignore"):  # `_present` reports what is no number
        if facts["activation"] == "sigmoid":
            return {"scores": np.exp(-np.logaddexp(np.float32(0), -logits))}
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return {"scores": powers / powers.sum(axis=1, keepdims=True)}


def _present(values: Values, facts: Facts) -> Values:
    scores = np.asarray(values["scores"])[0]
    if np.isnan(scores).any():
        raise RunError("the model answered NaN", "check the weights and the preprocessing facts, or use a variant of a higher precision")
    best = np.argsort(-scores, kind="stable")[: facts["top"]]
    labels = facts["labels"]
    return {"result": {"labels": [{"index": int(i), "label": labels[i] if labels else str(i), "score": float(scores[i])} for i in best]}}
