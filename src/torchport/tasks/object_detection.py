"""The task `object-detection`: a picture in, labelled boxes out, by one network or by a cascade of three."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from msgspec.structs import replace

from ..errors import BadInput
from ..types import Levels, Signature, Step, Value
from .base import Task
from .parts import Driver, HostStep, Item, Split, TaskGraph, Values, told
from .shared import boxes, cascade, detection_facts, draw, label_scores, letterbox, picture_facts, pictures
from .shared.detection_facts import DetectionFacts
from .shared.detection_heads import AUTO, CASCADES, HEADS, guess
from .shared.detection_items import list_items
from .shared.detection_steps import bound, counted, decode, fit, head, input_of, name, place, select
from .shared.picture_chain import MIME
from .shared.picture_items import SUFFIXES

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from .pipeline import Pipeline

_OWN_VALUES = frozenset({"raw", "image", "pixels", "boxes", "scores", "found", "points", "result"})
_THUMBNAIL = 320

Detected = TypeVar("Detected", bound=DetectionFacts)


class Box(Value, frozen=True):
    """A thing in the picture: its class, how sure that is, and where: x1, y1, x2, y2 in pixels; with points where the
    model tells them.
    """

    index: int
    label: str
    score: float
    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...] | None = None


class Boxes(Value, frozen=True):
    """What was found, the surest first."""

    boxes: tuple[Box, ...]


class ObjectDetection(Task[DetectionFacts]):
    """A picture of any size -> labelled boxes in its pixels.

    A network ends with one of the heads of `shared.detection_heads`; a module with `pnet`, `rnet`
    and `onet` is a cascade and becomes three graphs. Overlapping boxes of a class are suppressed (NMS) on the host, or
    with `--in-graph` by a graph.
    """

    name = "object-detection"
    about = "a picture -> labelled boxes"
    metric = "F1 at IoU 0.5"
    about_data = (
        "One picture; a COCO file with its pictures beside it or in images/; or a folder with one COCO file, or "
        "of pictures, each with its boxes in NAME.json beside NAME.png as `predict --json` answers them."
    )
    about_metric = (
        "F1 at IoU 0.5: per picture, of boxes of the right class that overlap a labelled one by half, the "
        "harmonic mean of precision and recall; then the mean. Without boxes, the share of pictures in which the "
        "reference's boxes are found again to a pixel."
    )
    suffixes = SUFFIXES
    mime: ClassVar[Mapping[str, str]] = MIME
    answer = Boxes
    architectures = (r".*ForObjectDetection",)
    example = (
        "torchport deploy net.py:Net --weights net.safetensors --task object-detection --data pictures --set head=yolo "
        "--set labels=pictures/instances.json -o net.tport"
    )
    facts = DetectionFacts
    suspects: ClassVar[tuple[str, ...]] = (
        "head",
        "size",
        "fit",
        "mean",
        "std",
        "scale",
        "color",
        "labels",
        "threshold",
    )

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[DetectionFacts, tuple[str, ...]]:
        """As `Task.resolve`; a source that stretches its pictures (`resize` of two sides) gives `size` and `fit`."""
        if isinstance(source.get("resize"), list):
            source = {**source, "size": source["resize"], "fit": "stretch"}
        facts, assumed = super().resolve(settings, source)
        return facts, tuple(
            name
            for name in assumed
            if name
            in detection_facts.ASSUMED - (frozenset() if facts.head == "centers" else detection_facts.ONLY_CENTERS)
        )

    def check(self, facts: DetectionFacts) -> DetectionFacts:
        """See `picture_facts.per_channel`."""
        return picture_facts.per_channel(facts)

    def ignored(self, facts: DetectionFacts) -> dict[str, str]:
        """Facts of other heads, and of another way to fit."""
        found = (
            {}
            if facts.head in CASCADES
            else dict.fromkeys(detection_facts.ONLY_CASCADES, f"it is of a cascade, the head is {facts.head}")
        )
        if facts.head != "centers":
            found |= dict.fromkeys(detection_facts.ONLY_CENTERS, f"it is of the head centers, the head is {facts.head}")
        if facts.head in CASCADES:
            found |= dict.fromkeys(
                ("size", "fit", "place", "pad", "threshold", "nms"),
                "a cascade has min_size, thresholds and a pyramid of its own",
            )
        if facts.fit != "letterbox":
            found["place"] = f"fit is {facts.fit}"
        return found | ({"pad": "fit is stretch"} if facts.fit == "stretch" else {})

    def bind(self, facts: DetectionFacts, model: Signature) -> DetectionFacts:
        """The facts with the head and its usual `nms` where they are `auto`; raises BadInput where labels do not fit
        the outputs.
        """
        return with_head(facts, model)

    def items(self, data: Path, facts: DetectionFacts) -> list[Item]:
        """The user's pictures with their boxes; see `shared.detection_items.list_items`."""
        return list_items(data, facts.labels)

    def split(
        self, model: torch.nn.Module | ExportedProgram, facts: DetectionFacts, items: Sequence[Item]
    ) -> Split | None:
        """The three graphs of a cascade; None for any other model."""
        from .graphs import cascade_graphs

        if facts.head not in (AUTO, *CASCADES):
            return None
        graphs = cascade_graphs.graphs(model, facts)
        if graphs is None and facts.head in CASCADES:
            raise BadInput(
                f"a cascade has the modules {', '.join(cascade_graphs.STAGES)}, this model has not all of them",
                "give another --set head=...",
            )
        return None if graphs is None else Split(graphs, replace(facts, head=CASCADES[0]))

    def feed(self, items: Sequence[Item], facts: DetectionFacts, inputs: Sequence[str] | None) -> dict[str, np.ndarray]:
        """float32 [len(items), channels, height, width] under the name of the model's first input (`pixels` where it is
        not known).

        Raises:
            BadInput: a picture that cannot be decoded, by name; or a model of several inputs without defaults.
        """
        rows = []
        for item in items:
            try:
                rows.append(letterbox.to_pixels(pictures.decode(item.read(), facts.color), facts))
            except BadInput as exc:
                raise BadInput(f"{item.name}: {exc.message}", exc.hint) from exc
        return {(inputs or ["pixels"])[0]: np.concatenate(rows)}

    def steps(self, facts: DetectionFacts, model: Signature) -> tuple[Step, ...]:
        """decode, preprocess, model, boxes, select, present; of a cascade decode, cascade, present.

        Raises:
            BadInput: the model does not take such pictures, or answers less than its head.
        """
        decode = Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"image": "image"})
        if facts.head in CASCADES:
            stages: dict[str, dict[str, str]] = {name: {} for name in ("pnet", "rnet", "onet")}
            found = Step(
                name="cascade",
                host="cascade",
                inputs={"image": "image"},
                outputs={"found": "found", "points": "points"},
                drives=stages,
            )
            return (
                decode,
                found,
                Step(
                    name="present",
                    host="name",
                    inputs={"found": "found", "points": "points"},
                    outputs={"result": "result"},
                ),
            )
        outputs = {spec.name: f"model_{spec.name}" if spec.name in _OWN_VALUES else spec.name for spec in model.outputs}
        read = {own: outputs[spec.name] for own, spec in head(facts).of(model).items()}
        levels = (
            None if facts.fit == "crop" else Levels(size=float(facts.scale / (255 * np.min(facts.std))), share=0.001)
        )
        suppression = "nms" if facts.nms is not None else None
        return (
            decode,
            Step(
                name="preprocess",
                graph="preprocess",
                host="fit",
                inputs={"image": "image"},
                outputs={"pixels": "pixels"},
                fit="bound",
                levels=levels,
            ),
            Step(name="model", graph="model", inputs={input_of(facts, model): "pixels"}, outputs=outputs),
            Step(name="boxes", graph="boxes", inputs=read, outputs={"boxes": "boxes", "scores": "scores"}),
            Step(
                name="select",
                graph=suppression,
                host="select",
                inputs={"boxes": "boxes", "scores": "scores"},
                outputs={"found": "found"},
            ),
            Step(
                name="present", host="place", inputs={"found": "found", "image": "image"}, outputs={"result": "result"}
            ),
        )

    def graphs(self, facts: DetectionFacts, model: Signature, items: Sequence[Item]) -> dict[str, TaskGraph]:
        """`preprocess` (uint8 [height, width, channels] -> pixels), `boxes` (the head's outputs -> boxes and scores),
        and `nms` where boxes of a class may overlap.
        """
        if facts.head in CASCADES:
            return {}
        import torch

        from .graphs import detection_graphs, letterbox_graphs

        form, random = head(facts), np.random.default_rng(0)
        specs = form.of(model)
        dims = {name: spec.free for name, spec in specs.items()}
        feeds = {
            name: random.random([size if isinstance(size, int) else 2 for size in spec.shape], np.float32)
            for name, spec in specs.items()
        }
        reader: torch.nn.Module = getattr(detection_graphs, form.module)(facts, **form.options).eval()
        sides = {0: "height", 1: "width"}
        image = random.integers(0, 256, (300, 320, picture_facts.channels(facts)), np.uint8)
        graphs = {
            "preprocess": TaskGraph(
                letterbox_graphs.fitting(facts),
                {"image": image},
                {"image": sides},
                dict.fromkeys(sides.values(), (1, None)),
            ),
            "boxes": TaskGraph(reader, feeds, dims),
        }
        if facts.nms is not None:
            made = reader(**{name: torch.from_numpy(feed[:1]) for name, feed in feeds.items()})
            example = {name: tensor.numpy() for name, tensor in made.items()}
            graphs["nms"] = TaskGraph(detection_graphs.Best(facts, example["scores"].size).eval(), example)
        return graphs

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`, `fit`, `bound`, `select`, `place`, `name`."""
        return {"decode": decode, "fit": fit, "bound": bound, "select": select, "place": place, "name": name}

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """`cascade`, which calls `pnet`, `rnet` and `onet`."""
        return {"cascade": cascade.drive}

    def session(self, pipeline: Pipeline) -> Frames:
        """Frames as arrays, without a picture's file format in between."""
        return Frames(pipeline)

    def save(self, raw: bytes, values: Values, facts: DetectionFacts) -> dict[str, bytes]:
        """The picture with its boxes, as `.png`."""
        drawn = io.BytesIO()
        draw.boxes(pictures.decode(raw), values["result"]["boxes"]).save(drawn, "PNG")
        return {".png": drawn.getvalue()}

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """The F1 of one picture: boxes of the right class that overlap a labelled one by half."""
        return boxes.f1(result["boxes"], label)

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether both results hold the same boxes, to a pixel."""
        return boxes.alike(result["boxes"], reference["boxes"])

    def words(self, result: Mapping[str, Any]) -> str:
        """How many of what: `10 Car, 2 Chicken`."""
        return counted(one["label"] for one in result["boxes"]) or "nothing found"

    def label_words(self, label: Any, facts: DetectionFacts) -> str:
        """How many of what there are."""
        return counted(label_scores.label_words(one["index"], facts.labels) for one in label) or "nothing"

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """Each box in a line, the surest first."""
        return [
            f"{one['label']} {one['score']:.1%} at {', '.join(f'{edge:.1f}' for edge in one['box'])}"
            for one in result["boxes"]
        ] or [self.words(result)]

    def thumbnail(self, raw: bytes) -> bytes | None:
        """The picture as a JPEG of at most 320 pixels a side."""
        return pictures.thumbnail(raw, _THUMBNAIL)

    def illustrate(self, raw: bytes, result: Mapping[str, Any]) -> bytes | None:
        """The picture with its boxes, as a small JPEG."""
        try:
            drawn = draw.boxes(pictures.decode(raw), result["boxes"])
        except BadInput:
            return None
        drawn.thumbnail((_THUMBNAIL, _THUMBNAIL))
        small = io.BytesIO()
        drawn.save(small, "JPEG", quality=80)
        return small.getvalue()

    def files(self, facts: DetectionFacts) -> dict[str, bytes]:
        """`labels.txt`, one name a line, where there are labels."""
        return {"labels.txt": "".join(f"{name}\n" for name in facts.labels).encode()} if facts.labels else {}

    def describe(self, facts: DetectionFacts) -> list[str]:
        """The facts that matter for this head in words, a line each; labels are only counted."""
        labels = label_scores.counted(facts.labels)
        if facts.head in CASCADES:
            shown = {"head", "labels", "top", *detection_facts.ONLY_CASCADES}
            hidden = dict.fromkeys(self.defaults.keys() - shown)
            return told(facts, **{**hidden, "labels": labels, "steps": cascade.describe(facts)})
        others = frozenset() if facts.head == "centers" else detection_facts.ONLY_CENTERS
        return told(facts, **dict.fromkeys(detection_facts.ONLY_CASCADES | others), labels=labels)


def with_head(facts: Detected, model: Signature) -> Detected:
    """See `ObjectDetection.bind`."""
    name = guess(model) if facts.head == AUTO else facts.head
    if name in CASCADES:
        return replace(facts, head=name, nms=None, labels=facts.labels or ("face",))
    head = HEADS[name]
    classes, labels = head.classes(model), facts.labels
    if labels and classes is not None and len(labels) != classes:
        raise BadInput(
            f"labels has {len(labels)} names, the model tells {classes} classes apart",
            "give the list the model was trained with, or another --set head=...",
        )
    return replace(facts, head=name, nms=head.nms if facts.nms == AUTO else facts.nms)


class Frames:
    """Frames of a video or a game, one after the other: uint8 [height, width, 3] in RGB, or the bytes of a picture
    each.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._result: dict[str, Any] | None = None

    def push(self, chunk: Any) -> dict[str, Any]:
        """The boxes of one frame.

        Raises:
            BadInput: no such array, or no picture.
        """
        if isinstance(chunk, bytes):
            self._result = self._pipeline.answer(chunk)["result"]
        else:
            frame = _frame(chunk, self._pipeline.facts)
            self._result = self._pipeline.run({"image": frame}, start=self._pipeline.plan.after("image"))["result"]
        assert self._result is not None
        return self._result

    def finish(self) -> dict[str, Any]:
        """The boxes of the last frame.

        Raises:
            BadInput: there was none.
        """
        if self._result is None:
            raise BadInput("no frame was pushed", "push at least one")
        return self._result


def _frame(chunk: Any, facts: DetectionFacts) -> np.ndarray:
    frame = np.asarray(chunk)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise BadInput(
            f"a frame is {frame.dtype}{list(frame.shape)}",
            "push uint8 [height, width, 3] in RGB, or the bytes of a picture",
        )
    return np.asarray(pictures.to_pillow(frame).convert("L"))[:, :, None] if facts.color == "L" else frame
