"""The task `object-tracking`: a video in, the things in it out, each with a number that it keeps from frame to
frame.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
from msgspec.structs import replace
from PIL import Image

from ..errors import BadInput, UsageError
from ..types import Signature, Step, Value
from . import plan
from .base import Task
from .calls import Calling, exhaust, perform
from .object_detection import ObjectDetection, with_head
from .parts import Driver, HostStep, Item, Session, Split, TaskGraph, Values
from .pipeline import Pipeline
from .shared import draw, mot, video, video_items
from .shared.association import Tracker
from .shared.picture_facts import per_channel
from .shared.tracking_rules import TrackingFacts, check_jump, first_frames, numbered, rules

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


DETECTION = ObjectDetection()
"""What finds the things in a frame: its facts, graphs and steps are this task's too."""

ALIKE = 0.98
"""Accuracy of one answer held against another, from which both are the same."""

_THUMBNAIL = 320


class Track(Value, frozen=True):
    """A thing in sight: its number, its class (index and name), the detector's score, and its box: left, top, right,
    bottom in pixels.
    """

    id: int
    index: int
    label: str
    score: float
    box: tuple[float, float, float, float]


class Frame(Value, frozen=True):
    """A frame, counted from 1, and the tracks in sight, by their numbers."""

    frame: int
    tracks: tuple[Track, ...]


class Tracks(Value, frozen=True):
    """A video's tracks.

    Attributes:
        count: how many things were tracked.
        width, height: of the frames, in pixels.
        rate: frames a second.
        notes: what was wrong with the video, a sentence each.
    """

    frames: tuple[Frame, ...]
    count: int
    width: int
    height: int
    rate: float
    notes: tuple[str, ...]


class ObjectTracking(Task[TrackingFacts]):
    """A video -> numbered things, frame by frame."""

    name = "object-tracking"
    about = "a video -> numbered boxes, frame by frame"
    metric = "MOTA"
    about_data = (
        "One video; a folder of frames (also the MOTChallenge's); or a folder of either. The true tracks lie "
        "beside a video as NAME.mot.txt, in a folder of frames as gt/gt.txt, gt.txt or instances.json (COCO with "
        "track_id)."
    )
    about_metric = (
        "MOTA: 1 minus misses, false tracks and switched identities as a share of the true boxes, not below 0. "
        "Without true tracks, the share of videos whose tracks are the reference's to 98 % of MOTA."
    )
    suffixes = video.SUFFIXES
    mime: ClassVar[Mapping[str, str]] = video.MIME
    answer = Tracks
    example = (
        "torchport deploy detector.py:Net --weights net.safetensors --task object-tracking --data videos --set "
        "labels=labels.txt -o tracks.tport"
    )
    facts = TrackingFacts
    suspects: ClassVar[tuple[str, ...]] = (*DETECTION.suspects, "high", "start", "track_iou")

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[TrackingFacts, tuple[str, ...]]:
        """As `Task.resolve`; facts of the tracker are choices rather than assumptions about the model."""
        facts, assumed = super().resolve(settings, source)
        _, unsure = DETECTION.resolve(
            {name: value for name, value in settings.items() if name in DETECTION.defaults}, source
        )
        return facts, tuple(name for name in assumed if name in unsure and name != "threshold")

    def check(self, facts: TrackingFacts) -> TrackingFacts:
        """As of a detector; `jump` names labels that there are, else UsageError."""
        check_jump(facts)
        return per_channel(facts)

    def ignored(self, facts: TrackingFacts) -> dict[str, str]:
        """As of a detector."""
        return DETECTION.ignored(facts)

    def bind(self, facts: TrackingFacts, model: Signature) -> TrackingFacts:
        """The detector's facts bound, and with them its steps from a picture to its answer, which this task takes for
        every frame.
        """
        facts = with_head(facts, model)
        chain = msgspec.to_builtins(plan.from_decoded(DETECTION.steps(facts, model)))
        return replace(facts, detector_steps=tuple(chain))

    def items(self, data: Path, facts: TrackingFacts) -> list[Item]:
        """The user's videos; see `shared.video_items.list_items`."""
        return video_items.list_items(data)

    def whole(self, folder: Path) -> bool:
        """Whether a folder holds the frames of one video."""
        return video_items.frames_of(folder) is not None

    def read(self, path: Path) -> bytes:
        """A video's content; of a folder of frames, a zip file of them."""
        return video_items.read(path)

    def split(
        self, model: torch.nn.Module | ExportedProgram, facts: TrackingFacts, items: Sequence[Item]
    ) -> Split | None:
        """The detector's graphs, where it is more than one."""
        return DETECTION.split(model, facts, first_frames(items))

    def feed(self, items: Sequence[Item], facts: TrackingFacts, inputs: Sequence[str] | None) -> dict[str, np.ndarray]:
        """The detector's input for the first frame of each video."""
        return DETECTION.feed(first_frames(items), facts, inputs)

    def steps(self, facts: TrackingFacts, model: Signature) -> tuple[Step, ...]:
        """track, which drives the detector's graphs frame by frame, and present."""
        drives = plan.drives(_chain(facts))
        made = {"tracks": "tracks", "frames": "frames", "clip": "clip"}
        return (
            Step(name="track", host="track", drives=drives, inputs={"raw": "raw"}, outputs=made),
            Step(
                name="present",
                host="present",
                inputs={"frames": "frames", "clip": "clip"},
                outputs={"result": "result"},
            ),
        )

    def graphs(self, facts: TrackingFacts, model: Signature, items: Sequence[Item]) -> dict[str, TaskGraph]:
        """The detector's graphs around the model."""
        return DETECTION.graphs(facts, model, first_frames(items))

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`present`."""
        return {"present": _present}

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """`track`."""
        return {"track": _follow}

    def session(self, pipeline: Pipeline) -> Session:
        """Frames as they come (a camera, a game): see `Live`."""
        return Live(pipeline)

    def save(self, raw: bytes, values: Values, facts: TrackingFacts) -> dict[str, bytes]:
        """The video with its tracks drawn (`.mp4`), and the tracks in the MOT format (`.mot.txt`).

        Raises:
            MissingDependency: `av` is not installed.
        """
        result = values["result"]
        drawn = (
            np.asarray(draw.boxes(frame, seen["tracks"]))
            for frame, seen in zip(video.Clip(raw), result["frames"], strict=False)
        )
        return {".mp4": video.write(drawn, result["rate"]), mot.SUFFIX: mot.text(result["frames"]).encode()}

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """The tracks' accuracy (MOTA) against the true ones; 0 where it is negative."""
        return max(0.0, mot.mota(result["frames"], label))

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether one answer's accuracy is at least 98 % with the other as the truth: the same boxes, whatever their
        numbers, that are the same all along.
        """
        truth = [
            [frame["frame"], one["id"], one["index"], *one["box"]]
            for frame in reference["frames"]
            for one in frame["tracks"]
        ]
        return mot.mota(result["frames"], truth) >= ALIKE

    def words(self, result: Mapping[str, Any]) -> str:
        """How many tracks in how many frames."""
        return f"{result['count']} tracks in {len(result['frames'])} frames"

    def label_words(self, label: Any, facts: TrackingFacts) -> str:
        """How many tracks there are in how many frames."""
        return f"{len({row[1] for row in label})} tracks in {len({row[0] for row in label})} frames"

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """Each track with the frames it was seen in, and what was wrong with the video."""
        spans: dict[int, list[Any]] = {}
        for frame in result["frames"]:
            for one in frame["tracks"]:
                span = spans.setdefault(one["id"], [one["label"], frame["frame"], frame["frame"], 0])
                span[2], span[3] = frame["frame"], span[3] + 1
        listed = [
            f"{number} {label}: frames {first} to {last}, seen in {count}"
            for number, (label, first, last, count) in sorted(spans.items())
        ]
        return [self.words(result), *listed, *result["notes"]]

    def thumbnail(self, raw: bytes) -> bytes | None:
        """The first frame as a JPEG of at most 320 pixels a side."""
        return self.illustrate(raw, {"frames": [{"tracks": ()}]})

    def illustrate(self, raw: bytes, result: Mapping[str, Any]) -> bytes | None:
        """The first frame with its tracks, as a JPEG of at most 320 pixels a side."""
        try:
            drawn = draw.boxes(next(iter(video.Clip(raw))), result["frames"][0]["tracks"])
        except BadInput:
            return None
        small = io.BytesIO()
        drawn.thumbnail((_THUMBNAIL, _THUMBNAIL))
        drawn.save(small, "JPEG", quality=80)
        return small.getvalue()

    def files(self, facts: TrackingFacts) -> dict[str, bytes]:
        """As the detector: `labels.txt`, where there are labels."""
        return DETECTION.files(facts)

    def describe(self, facts: TrackingFacts) -> list[str]:
        """The detector's facts in words, and those of the tracker."""
        found = DETECTION.describe(facts)
        return [line for line in found if not line.startswith("detector_steps:")]


class Live:
    """Frames pushed one by one, over opened graphs: the session of this task."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._call = pipeline.call
        self._follow: _Follower | None = _Follower(pipeline.facts)

    def push(self, chunk: Any) -> dict[str, Any]:
        """Take the next frame; the tracks that are in sight now.

        Args:
            chunk: uint8 [height, width, 3] in RGB, or the bytes of a picture.

        Returns:
            `{"frame": its number from 1, "tracks": [{"id", "index", "label", "score", "box"}]}`

        Raises:
            BadInput: it is no frame, or of another size than those before; the session goes on without it.
            UsageError: the session is finished.
        """
        return exhaust(perform(self._open().push(video.one(chunk)), self._call))

    def finish(self) -> dict[str, Any]:
        """The tracks of all frames, as `predict` answers them.

        Raises:
            BadInput: no frame was pushed.
        """
        follow, self._follow = self._open(), None
        if not follow.frames:
            raise BadInput("the session has no frames", "push at least one before it is finished")
        return dict(_present({"frames": follow.frames, "clip": follow.clip(video.RATE, [])}, None)["result"])

    def _open(self) -> _Follower:
        if self._follow is None:
            raise UsageError("the session is finished", "open another one")
        return self._follow


class _Follower:
    """The detector and the tracker of one video, a frame at a time; what they answered is kept."""

    def __init__(self, facts: TrackingFacts) -> None:
        self.frames: list[dict[str, Any]] = []
        self._facts = facts
        self._detector = Pipeline(plan.Plan(DETECTION, facts, tuple(_chain(facts)), {}), {})
        self._tracker: Tracker | None = None
        self._shape: tuple[int, ...] = ()

    def push(self, frame: np.ndarray) -> Calling[dict[str, Any], dict[str, Any]]:
        """Calls the detector's graphs; returns the tracks of the next frame, presented."""
        if self._tracker is None:
            self._shape, self._tracker = frame.shape, Tracker(rules(self._facts), frame.shape[:2])
        elif frame.shape != self._shape:
            raise BadInput(
                f"the frame is {video.shown(frame.shape)} pixels, those before are {video.shown(self._shape)}",
                "bring the frames to one size, or open another session",
            )
        image = np.asarray(Image.fromarray(frame).convert("L"))[:, :, None] if self._facts.color == "L" else frame
        values = yield from self._detector.calls({"image": image})
        found: list[dict[str, Any]] = values["result"]["boxes"]
        columns = (np.array([one[name] for one in found]) for name in ("box", "score", "index"))
        identities, rows = self._tracker.update(*columns)
        tracks = [
            numbered(identity, found[row]) for identity, row in zip(identities.tolist(), rows.tolist(), strict=True)
        ]
        self.frames.append({"frame": len(self.frames) + 1, "tracks": tracks})
        return self.frames[-1]

    def clip(self, rate: float, notes: list[str]) -> dict[str, Any]:
        """What `present` tells of the video beside its tracks."""
        height, width = self._shape[:2]
        return {"width": width, "height": height, "rate": round(rate, 3), "notes": notes}


def _follow(values: Values, facts: TrackingFacts) -> Calling[dict[str, Any], Values]:
    clip, follow = video.Clip(values["raw"]), _Follower(facts)
    for frame in clip:
        yield (yield from follow.push(frame))
    rows = [
        [frame["frame"], one["id"], one["index"], one["score"], *one["box"]]
        for frame in follow.frames
        for one in frame["tracks"]
    ]
    return {
        "tracks": np.array(rows, np.float64).reshape(-1, 8),
        "frames": follow.frames,
        "clip": follow.clip(clip.rate, clip.notes),
    }


def _present(values: Values, facts: TrackingFacts | None) -> Values:
    frames = values["frames"]
    count = len({one["id"] for frame in frames for one in frame["tracks"]})
    return {"result": {"frames": frames, "count": count, **values["clip"]}}


def _chain(facts: TrackingFacts) -> list[Step]:
    older = ("state",)  # a field of steps before schema 4, always empty
    return [
        msgspec.convert({name: value for name, value in one.items() if name not in older}, Step)
        for one in facts.detector_steps
    ]
