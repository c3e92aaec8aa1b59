"""Which box of this frame is which thing of the frames before: tracks of numbered things, one frame at a time.

A small implementation of known parts, chosen in docs/decisions; what differs from its sources is said here:

- SORT (Bewley et al., "Simple Online and Realtime Tracking", 2016): a Kalman filter predicts each track's box, the
  assignment of
  least cost by IoU says which detection belongs to it, tracks unseen for `max_age` frames end.
- ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", 2022): detections of
  low score
  are matched in a second round, to the tracks that were in sight a frame ago and found nothing in the first.
- C-BIoU (Yang et al., "Hard to Track Objects with Irregular Motions and Similar Appearances?", 2023): boxes are grown
  by a share of
  their size before their IoU is taken, since small things leave their own box from one frame to the next.
- OC-SORT (Cao et al., "Observation-Centric SORT", 2023): what is left is matched by where a track was last seen. Here
  by distance,
  and only for the labels and distances that the facts name (`jump`): a ball that bounces, a player set back to the
  start.
- `wrap`: what leaves the frame at one side comes in at the other, as in many games. Distances are then taken around the
  frame.

Detections and tracks of different labels never match. The same input always gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import MissingDependency
from .motion import Motion

_NEVER = 1e6


@dataclass(frozen=True)
class Rules:
    """How tracks begin, go on and end.

    Attributes:
        high: score from which a detection takes part in the first round; those below take part in the second.
        start: score from which a detection that belongs to no track begins one.
        iou, iou_low: least IoU of a match in the first and in the second round.
        buffer: by which share of its width and height a box grows on each side before its IoU is taken.
        max_age: frames that a track lives on unseen.
        min_hits: frames in a row that a track must be seen in before it is reported, but for those that begin in the
        first frame. wrap: axes around which the frame closes: `""`, `x`, `y` or `xy`.
        jump: label -> greatest distance in pixels by which it may miss its track and still be it.
        noise_place, noise_velocity: as in `Motion`.
    """

    high: float = 0.5
    start: float = 0.6
    iou: float = 0.2
    iou_low: float = 0.5
    buffer: float = 0.3
    max_age: int = 30
    min_hits: int = 2
    wrap: str = ""
    jump: Mapping[int, float] = field(default_factory=dict)
    noise_place: float = 1 / 20
    noise_velocity: float = 1 / 160


class Tracker:
    """The tracks of one video, fed one frame at a time.

    Args:
        rules: see `Rules`.
        size: height and width of the frames in pixels.

    Raises:
        MissingDependency: `lap` is not installed.
    """

    def __init__(self, rules: Rules, size: tuple[int, int]) -> None:
        self._rules, self._lapjv = rules, _solver()
        height, width = size
        self._period = np.array([width if "x" in rules.wrap else np.inf, height if "y" in rules.wrap else np.inf])
        # By how far a track may have gone around the frame: first not at all, then to every side that is closed.
        across, down = ((0.0, -1.0, 1.0) if axis in rules.wrap else (0.0,) for axis in "xy")
        self._turns = np.array([[width * x, height * y, 0.0, 0.0] for x in across for y in down])
        self._corner = np.array([width, height], np.float64)
        self._motion = Motion.begin(np.zeros((0, 4)), rules.noise_place, rules.noise_velocity)
        self._last = np.zeros((0, 4))
        self._label, self._id, self._hits, self._missed = (np.zeros(0, np.int64) for _ in range(4))
        self._given, self._frames = 0, 0

    def update(self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take the detections of the next frame.

        Args:
            boxes: float [n, 4], left, top, right, bottom in pixels.
            scores: float [n], 0..1.
            labels: int [n].

        Returns:
            Numbers of the tracks that are in sight, from 1 and ascending, int64 [m]; and the row of each one's
            detection, int64 [m].
        """
        boxes, scores, labels = (
            np.asarray(boxes, np.float64).reshape(-1, 4),
            np.asarray(scores, np.float64),
            np.asarray(labels, np.int64),
        )
        seen = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)], axis=1)
        rules, high = self._rules, scores >= self._rules.high
        self._motion.predict()
        row_of = np.full(len(self._id), -1)  # track -> the row of its detection
        self._match(row_of, seen, labels, np.flatnonzero(high), rules.iou)
        self._match(row_of, seen, labels, np.flatnonzero(~high), rules.iou_low, in_sight=True)
        self._jump(row_of, seen, labels, np.flatnonzero(scores >= rules.start))
        return self._move_on(row_of, seen, labels, scores >= rules.start)

    def _match(
        self,
        row_of: np.ndarray,
        seen: np.ndarray,
        labels: np.ndarray,
        rows: np.ndarray,
        least: float,
        in_sight: bool = False,
    ) -> None:
        """A round by IoU between the tracks that have no detection yet (only those seen a frame ago where `in_sight`)
        and some detections.
        """
        tracks = np.flatnonzero((row_of < 0) & ((self._missed == 0) | (not in_sight)))
        if not len(rows) or not len(tracks):
            return
        place = self._motion.place[tracks]
        iou = overlap(place, seen[rows], self._rules.buffer)
        turned = np.zeros(iou.shape, np.int64)  # by which of `self._turns` a track comes to its detection
        for number, turn in enumerate(self._turns[1:], 1):
            near = self._touching(place + turn)
            around = overlap(place[near] + turn, seen[rows], self._rules.buffer)
            turned[near] = np.where(around > iou[near], number, turned[near])
            iou[near] = np.maximum(iou[near], around)
        iou[self._label[tracks][:, None] != labels[rows]] = -1.0
        mine, theirs = self._assign(1 - iou, 1 - least)
        chosen = rows[theirs]
        self._motion.place[tracks[mine]] += self._turns[turned[mine, theirs]]
        row_of[tracks[mine]] = chosen
        self._motion.update(tracks[mine], seen[chosen])

    def _touching(self, place: np.ndarray) -> np.ndarray:
        """Rows of the boxes that, grown, touch the frame."""
        reach = place[:, 2:] * (0.5 + self._rules.buffer)
        return np.flatnonzero(((place[:, :2] + reach > 0) & (place[:, :2] - reach < self._corner)).all(axis=1))

    def _jump(self, row_of: np.ndarray, seen: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> None:
        """The last round, by distance from where a track was last seen; such a track starts again from there."""
        for label, reach in self._rules.jump.items():
            tracks = np.flatnonzero((row_of < 0) & (self._label == label))
            left = np.setdiff1d(rows[labels[rows] == label], row_of)
            if not len(tracks) or not len(left):
                continue
            off = np.abs(self._last[tracks][:, None, :2] - seen[left][None, :, :2])
            off = np.minimum(off, np.abs(self._period - off))
            mine, theirs = self._assign(np.hypot(off[..., 0], off[..., 1]), reach)
            row_of[tracks[mine]] = left[theirs]
            self._motion.restart(tracks[mine], seen[left[theirs]])

    def _assign(self, cost: np.ndarray, most: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the pairs of least total cost, none above `most`.

        A row and a column that only have each other are a pair without further ado: what is left for the solver is
        small, and mostly nothing, where many things hardly move.
        """
        fits = cost <= most
        alone = fits & (fits.sum(axis=1, keepdims=True) == 1) & (fits.sum(axis=0, keepdims=True) == 1)
        mine, theirs = np.nonzero(alone)
        open_rows, open_columns = (
            np.flatnonzero(fits.any(axis=1) & ~alone.any(axis=1)),
            np.flatnonzero(fits.any(axis=0) & ~alone.any(axis=0)),
        )
        if not len(open_rows):
            return mine, theirs
        crowd = np.ix_(open_rows, open_columns)
        _, column_of, _ = self._lapjv(
            np.where(fits[crowd], cost[crowd], _NEVER), extend_cost=True, cost_limit=2 * most + 1e-9
        )
        taken = np.flatnonzero(column_of >= 0)
        return np.concatenate([mine, open_rows[taken]]), np.concatenate([theirs, open_columns[column_of[taken]]])

    def _move_on(
        self, row_of: np.ndarray, seen: np.ndarray, labels: np.ndarray, may_start: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """End tracks, begin tracks, number those that are due; the numbers in sight and their detections."""
        rules, found = self._rules, row_of >= 0
        self._last[found] = seen[row_of[found]]
        self._hits = np.where(found, self._hits + 1, 0)
        self._missed = np.where(found, 0, self._missed + 1)
        # A track that was never reported ends with its first miss, as in SORT.
        stay = np.flatnonzero(found | ((self._id > 0) & (self._missed <= rules.max_age)))
        born = np.setdiff1d(np.flatnonzero(may_start), row_of)
        at = np.rint(seen[born])
        born = born[
            np.lexsort((at[:, 0], at[:, 1], labels[born]))
        ]  # in reading order, to the pixel: scores that are all but equal decide nothing
        self._motion = self._motion.keep(stay, Motion.begin(seen[born], rules.noise_place, rules.noise_velocity))
        self._last = np.concatenate([self._last[stay], seen[born]])
        fresh = {
            "_label": labels[born],
            "_id": np.zeros_like(born),
            "_hits": np.ones_like(born),
            "_missed": np.zeros_like(born),
        }
        for name, values in fresh.items():
            setattr(self, name, np.concatenate([getattr(self, name)[stay], values]))
        row_of = np.concatenate([row_of[stay], born])
        due = np.flatnonzero((self._id == 0) & (self._hits >= (1 if self._frames == 0 else rules.min_hits)))
        self._id[due] = self._given + 1 + np.arange(len(due))
        self._given, self._frames = self._given + len(due), self._frames + 1
        shown = np.flatnonzero((self._id > 0) & (row_of >= 0))
        shown = shown[np.argsort(self._id[shown])]
        return self._id[shown], row_of[shown]


def overlap(mine: np.ndarray, theirs: np.ndarray, buffer: float = 0.0) -> np.ndarray:
    """IoU of every pair of two lists of boxes, float64 [n, m].

    Args:
        mine, theirs: float64 [n, 4] and [m, 4]: centre x, centre y, width, height.
        buffer: share of its width and height by which a box grows on each side first.
    """
    reach, shared = 0.5 + buffer, np.float64(1.0)
    for axis in (0, 1):
        here, there = mine[:, axis], theirs[:, axis]
        half_here, half_there = mine[:, axis + 2] * reach, theirs[:, axis + 2] * reach
        shared = shared * np.maximum(
            np.minimum.outer(here + half_here, there + half_there)
            - np.maximum.outer(here - half_here, there - half_there),
            0.0,
        )
    areas = (2 * reach) ** 2 * np.add.outer(mine[:, 2] * mine[:, 3], theirs[:, 2] * theirs[:, 3])
    return np.asarray(shared / np.maximum(areas - shared, 1e-12))


def _solver() -> Any:
    try:
        from lap import lapjv
    except ImportError as exc:
        raise MissingDependency(
            "tracking assigns boxes with lap, which is not installed", "pip install 'torchport[video]'"
        ) from exc
    return lapjv
