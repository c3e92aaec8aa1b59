"""Tracks as text, in the format of the MOTChallenge: a line for each box, `frame,id,left,top,width,height,...`, all
counted from 1.

The ten columns of results are written: `frame,id,left,top,width,height,score,-1,-1,-1` (the last three are places in
the world, for tracks that have such). Read are these, and the nine of ground truth:
`...,height,counts,class,visibility`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput, MissingDependency

SUFFIX = ".mot.txt"

Truth = list[list[float]]
"""A row for each box that is there: frame (from 1), id, class (from 0, or -1 where unknown), left, top, right, bottom.
"""


def text(frames: Iterable[Mapping[str, Any]]) -> str:
    """The frames of a presented result (`{"frame": n, "tracks": [{"id", "score", "box": [left, top, right, bottom]}]}`)
    as MOT lines.
    """
    lines = []
    for frame in frames:
        for track in frame["tracks"]:
            left, top, right, bottom = track["box"]
            box = f"{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f}"
            lines.append(f"{frame['frame']},{track['id']},{box},{track['score']:.4f},-1,-1,-1\n")
    return "".join(lines)


def read(path: Path) -> Truth:
    """Ground truth, or somebody's tracks, from MOT text; rows that do not count (a 0 in the seventh of nine columns)
    are passed over.

    Raises:
        BadInput: a line that is not of the format, by its number.
    """
    rows: Truth = []
    with path.open(encoding="utf-8-sig", newline="") as lines:
        for number, line in enumerate(csv.reader(lines), 1):
            if not line:
                continue
            try:
                frame, track, left, top, width, height, *rest = map(float, line)
            except ValueError as exc:
                raise BadInput(
                    f"{path}, line {number}: '{','.join(line)}' is not in the MOT format",
                    "it takes numbers: frame,id,left,top,width,height,counts,class,visibility",
                ) from exc
            is_truth = len(rest) == 3
            if is_truth and not rest[0]:
                continue
            rows.append([frame, track, rest[1] - 1 if is_truth else -1.0, left, top, left + width, top + height])
    return rows


def write(rows: Truth) -> str:
    """Ground truth as MOT text, in the nine columns."""
    out = io.StringIO()
    for frame, track, kind, left, top, right, bottom in rows:
        out.write(f"{frame:g},{track:g},{left:g},{top:g},{right - left:g},{bottom - top:g},1,{kind + 1:g},1\n")
    return out.getvalue()


def from_coco(path: Path) -> Truth:
    """Ground truth from COCO annotations that name a `track_id`; pictures are frames in the order of their names.

    Raises:
        BadInput: it is no such file.
    """
    from .video import natural

    try:
        document = json.loads(path.read_bytes())
        pictures = sorted(document["images"], key=lambda one: natural(one["file_name"]))
        frame_of = {picture["id"]: number for number, picture in enumerate(pictures, 1)}
        class_of = {
            identifier: index for index, identifier in enumerate(sorted(one["id"] for one in document["categories"]))
        }
        rows = []
        for one in document["annotations"]:
            left, top, width, height = one["bbox"]
            rows.append(
                [
                    float(value)
                    for value in (
                        frame_of[one["image_id"]],
                        one["track_id"],
                        class_of[one["category_id"]],
                        left,
                        top,
                        left + width,
                        top + height,
                    )
                ]
            )
    except (KeyError, TypeError, ValueError) as exc:
        raise BadInput(
            f"{path}: no annotations of tracks ({type(exc).__name__}: {exc})",
            "it takes COCO's images, annotations with a track_id, and categories",
        ) from exc
    return sorted(rows)


def mota(frames: Sequence[Mapping[str, Any]], truth: Truth, least: float = 0.5) -> float:
    """The tracking accuracy of the CLEAR MOT metrics (Bernardin and Stiefelhagen, 2008): 1 - (missed + false +
    switched) / true boxes.

    A pair of a true and a tracked thing goes on while their boxes overlap; the others are assigned anew by the least
    sum of 1 - IoU. Things of different classes are no pair, where the truth knows classes.

    Args:
        frames: those of a presented result.
        least: IoU from which two boxes are a pair.

    Returns:
        1 for what is perfect; below 0 where there are more errors than true boxes.
    """
    true, seen = (
        _by_frame(truth),
        {
            frame["frame"]: [[track["id"], track["index"], *track["box"]] for track in frame["tracks"]]
            for frame in frames
        },
    )
    errors, whose = 0, dict[float, float]()
    for number in sorted({*true, *seen}):
        mine, theirs = (np.array(side.get(number, []), np.float64).reshape(-1, 6) for side in (true, seen))
        cost = 1 - _iou(mine[:, 2:], theirs[:, 2:])
        cost[(cost > 1 - least) | ((mine[:, 1:2] != theirs[:, 1]) & (mine[:, 1:2] >= 0))] = np.inf
        before = np.array([whose.get(track, np.nan) for track in mine[:, 0]])
        going_on = (before[:, None] == theirs[:, 0]) & np.isfinite(cost)
        cost[(going_on.any(axis=1)[:, None] | going_on.any(axis=0)) & ~going_on] = np.inf
        pairs = [(mine[row, 0], theirs[column, 0]) for row, column in _assigned(cost)]
        errors += (
            len(mine) + len(theirs) - 2 * len(pairs) + sum(bool(whose.get(one, other) != other) for one, other in pairs)
        )
        whose.update(pairs)
    count = len(truth)
    return 1 - errors / count if count else float(not errors)


def _by_frame(truth: Truth) -> dict[float, list[list[float]]]:
    found: dict[float, list[list[float]]] = {}
    for frame, *rest in truth:
        found.setdefault(frame, []).append(rest)
    return found


def _iou(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    from .association import overlap

    def centred(boxes: np.ndarray) -> np.ndarray:
        return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)

    return overlap(centred(mine), centred(theirs))


def _assigned(cost: np.ndarray) -> list[tuple[int, int]]:
    try:
        from lap import lapjv
    except ImportError as exc:
        raise MissingDependency(
            "tracks are compared with lap, which is not installed", "pip install 'torchport[video]'"
        ) from exc
    if not cost.size:
        return []
    never = 1e6
    _, column_of, _ = lapjv(np.where(np.isfinite(cost), cost, never), extend_cost=True)
    return [
        (row, int(column)) for row, column in enumerate(column_of) if column >= 0 and np.isfinite(cost[row, column])
    ]
