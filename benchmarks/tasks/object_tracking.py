"""Tracking of three console games: a detector's Bundle with its tracker, against the eager detector with the same
tracker.

The games are played with a seed that no detector was trained on. An item is a frame; it is identical where both answer
the same numbers and labels, and no edge of a box is further off than half a pixel. MOTA and IDF1 are motmetrics', at
IoU 0.5, between boxes of one class. The speed-up is that of frames pushed one by one as arrays, end to end:
preprocessing, detector, boxes, tracker.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import game_detector
import motmetrics
import numpy as np
import torch
from game_detector import GAMES, Box, Detector
from row import FEW, Row, passed, speedup

import torchport
from torchport.predict import Predictor
from torchport.tasks.shared import mot
from torchport.tasks.shared.association import Rules, Tracker, overlap

TARGETS = ("onnx", "openvino", "executorch", "torchscript")
SEED = 99
THRESHOLD, HIGH, START, MIN_HITS = 0.3, 0.35, 0.5, 1

WRAP = {"freeway": "x"}
JUMP: dict[str, dict[str, float | None]] = {
    "freeway": {"Car": 24, "Chicken": None},  # cars come in again cut by the edge, chickens are set back to their side
    "pong": {"Player": None, "Enemy": None, "Ball": None},  # one of each
    "mspacman": {"Player": None, "Ghost": 20},
}


def settings(game: str) -> dict[str, Any]:
    """The facts of a game's Bundle."""
    own = {"high": HIGH, "start": START, "min_hits": MIN_HITS, "wrap": WRAP.get(game), "jump": JUMP[game]}
    detector = {
        "size": [game_detector.HEIGHT, game_detector.WIDTH],
        "fit": "crop",
        "head": "centers",
        "stride": game_detector.STRIDE,
        "box_unit": game_detector.BOX_UNIT,
        "top": 300,
    }
    return {**detector, "labels": list(GAMES[game]), "threshold": THRESHOLD, **own}


def clips(game: str, folder: Path, seeds: Sequence[int], count: int) -> None:
    """Short games as zip files of pictures, with what is in them in the MOT format."""
    import io
    import zipfile

    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        frames, boxes = game_detector.some(game, count, seed)
        with zipfile.ZipFile(folder / f"{seed}.zip", "w") as archive:
            for number, frame in enumerate(frames):
                content = io.BytesIO()
                Image.fromarray(frame).save(content, "PNG")
                archive.writestr(f"{number:05}.png", content.getvalue())
        (folder / f"{seed}{mot.SUFFIX}").write_text(mot.write(truth(boxes)))


def truth(boxes: Sequence[Sequence[Box]]) -> mot.Truth:
    """The true tracks of a game."""
    return [
        [float(v) for v in (n, one.track, one.index, one.x, one.y, one.x + one.width, one.y + one.height)]
        for n, frame in enumerate(boxes, 1)
        for one in frame
    ]


def eager(model: Detector, game: str, frames: np.ndarray) -> list[list[tuple[int, int, list[float]]]]:
    """Number, class and box of every track, frame by frame: plain PyTorch, and the tracker."""
    reach = {GAMES[game].index(label): 1e5 if most is None else most for label, most in JUMP[game].items()}
    tracker = Tracker(
        Rules(high=HIGH, start=START, min_hits=MIN_HITS, wrap=WRAP.get(game, ""), jump=reach), frames.shape[1:3]
    )
    answers = []
    for frame in frames:
        found = np.array(game_detector.detect(model, frame, THRESHOLD), np.float64).reshape(-1, 6)
        found[:, 2:] = found[:, 2:].clip(0, [frame.shape[1], frame.shape[0]] * 2)
        numbers, rows = tracker.update(found[:, 2:], found[:, 0], found[:, 1])
        answers.append(
            [
                (int(number), int(found[row, 1]), found[row, 2:].tolist())
                for number, row in zip(numbers, rows, strict=True)
            ]
        )
    return answers


def deployed(predictor: Predictor, frames: np.ndarray) -> dict[str, Any]:
    """The Bundle's answer to frames pushed one by one."""
    session = predictor.session()
    for frame in frames:
        session.push(frame)
    return session.finish()


def plain(result: dict[str, Any]) -> list[list[tuple[int, int, list[float]]]]:
    """A presented result in the form of `eager`."""
    return [[(one["id"], one["index"], one["box"]) for one in frame["tracks"]] for frame in result["frames"]]


def same(one: Sequence[tuple[int, int, list[float]]], other: Sequence[tuple[int, int, list[float]]]) -> bool:
    """Whether a frame has the same tracks in both."""
    return len(one) == len(other) and all(
        a[:2] == b[:2] and np.abs(np.subtract(a[2], b[2])).max() <= 0.5 for a, b in zip(one, other, strict=True)
    )


def accuracy(
    boxes: Sequence[Sequence[Box]], answers: Sequence[Sequence[tuple[int, int, list[float]]]]
) -> tuple[float, float]:
    """MOTA and IDF1. The distances are computed here: those of motmetrics 1.4 call what numpy 2 has removed."""
    judge = motmetrics.MOTAccumulator(auto_id=True)
    for there, found in zip(boxes, answers, strict=True):
        mine = np.array(
            [[one.x + one.width / 2, one.y + one.height / 2, one.width, one.height] for one in there], np.float64
        ).reshape(-1, 4)
        corners = np.array([box for _, _, box in found], np.float64).reshape(-1, 4)
        theirs = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)
        apart = 1 - overlap(mine, theirs)
        apart[
            (apart > 0.5)
            | np.not_equal.outer([one.index for one in there], [kind for _, kind, _ in found]).reshape(apart.shape)
        ] = np.nan
        judge.update([one.track for one in there], [number for number, _, _ in found], apart)
    figures = motmetrics.metrics.create().compute(judge, metrics=["mota", "idf1"])
    return float(figures["mota"].item()), float(figures["idf1"].item())


def row(game: str, folder: Path, short: bool) -> Row:
    """One game, deployed and measured."""
    data, bundle = folder / "clips", folder / f"{game}.tport"
    clips(game, data, (90, 91), 20)
    model = getattr(game_detector, game)()
    outcome = torchport.deploy(
        model,
        task="object-tracking",
        data=data,
        settings=settings(game),
        targets=FEW if short else TARGETS,
        recipes=["fp32"],
        output=bundle,
    )
    frames, boxes = game_detector.some(game, 40 if short else 150, SEED)
    with Predictor(bundle, threads=1) as predictor:
        expected, result = eager(model, game, frames), deployed(predictor, frames)
        taken = speedup(lambda: eager(model, game, frames), lambda: deployed(predictor, frames), 1 if short else 5)
    answer, targets = plain(result), passed(outcome)
    (mota, idf1), (true_mota, true_idf1) = accuracy(boxes, answer), accuracy(boxes, expected)
    identical = sum(same(*pair) for pair in zip(answer, expected, strict=True))
    notes = {"IDF1 eager": true_idf1, "IDF1 deployed": idf1, "frames/s": len(frames) / taken[1]}
    return Row(
        "object-tracking",
        game,
        f"{len(frames)} frames, seed {SEED}",
        "MOTA",
        true_mota,
        mota,
        identical,
        len(frames),
        taken[2],
        targets,
        notes,
    )


def rows(short: bool) -> list[Row]:
    """A row a game; with `short`, one game and few frames."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        return [row(game, Path(folder) / game, short) for game in (("freeway",) if short else GAMES)]
