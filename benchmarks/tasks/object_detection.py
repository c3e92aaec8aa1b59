"""Detection of what moves in three console games, and of faces by the three networks of MTCNN.

Games are played with a seed that no detector was trained on, and frames are pushed as arrays, one by one. An item is a
frame; it is identical where both find the same classes and no edge of a box is further off than half a pixel. The
metric is the F1 over all boxes at IoU 0.5; mAP, by faster-coco-eval, is among the notes, and so are frames a second,
end to end, of arrays and of PNG files.

Faces: eager is facenet-pytorch's own `detect` on four pictures; an item is a picture, identical where there are as many
faces and every edge is within a pixel. On 200 crops of Labelled Faces in the Wild both are asked by R-Net and O-Net
whether it is a face.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import game_detector
import mtcnn
import numpy as np
import torch
from game_detector import GAMES, THRESHOLD, Detector
from PIL import Image
from row import FEW, Row, passed, speedup

import torchport
from torchport.predict import Predictor

TARGETS = ("onnx", "openvino", "executorch", "torchscript")
CASCADE_TARGETS = ("onnx", "openvino", "torchscript", "pt2")
SEED = 99

Found = dict[str, Any]


def settings(game: str) -> dict[str, Any]:
    """The facts of a game's Bundle."""
    size = [game_detector.HEIGHT, game_detector.WIDTH]
    head = {
        "head": "centers",
        "stride": game_detector.STRIDE,
        "box_unit": game_detector.BOX_UNIT,
        "threshold": THRESHOLD,
        "top": 300,
    }
    return {"size": size, "fit": "crop", "labels": list(GAMES[game]), **head}


def eager(model: Detector, frame: np.ndarray) -> list[Found]:
    """What plain PyTorch finds, cut off at the frame's edges."""
    edge = [frame.shape[1], frame.shape[0]] * 2
    return [
        {"index": index, "score": score, "box": np.clip(box, 0, edge).tolist()}
        for score, index, *box in game_detector.detect(model, frame)
    ]


def same(one: Sequence[Found], other: Sequence[Found], most: float) -> bool:
    """Whether both hold the same boxes, in any order."""
    if len(one) != len(other):
        return False
    left = list(other)
    for box in one:
        near = [
            two
            for two in left
            if two["index"] == box["index"] and np.abs(np.subtract(two["box"], box["box"])).max() <= most
        ]
        if not near:
            return False
        left.remove(near[0])
    return True


def f1(truth: Sequence[Sequence[Found]], answers: Sequence[Sequence[Found]]) -> float:
    """Over all boxes: the surest first takes the free box of its class that it overlaps most, by half or more."""
    right = 0
    for there, found in zip(truth, answers, strict=True):
        free = list(there)
        for box in sorted(found, key=lambda one: -one["score"]):
            best = max(
                (one for one in free if one["index"] == box["index"]),
                key=lambda one: iou(one["box"], box["box"]),
                default=None,
            )
            if best is not None and iou(best["box"], box["box"]) >= 0.5:
                free.remove(best)
                right += 1
    return 2 * right / sum(map(len, (*truth, *answers)))


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width, height = (min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1))
    if width <= 0 or height <= 0:
        return 0.0
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - width * height
    return width * height / whole


def mean_precision(instances: Path, answers: Sequence[Sequence[Found]]) -> float:
    """mAP at IoU 0.5, by faster-coco-eval."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(json.loads(instances.read_text()))
    rows = []
    for number, found in enumerate(answers, 1):
        for one in found:
            x, y, right, bottom = one["box"]
            rows.append(
                {
                    "image_id": number,
                    "category_id": one["index"] + 1,
                    "bbox": [x, y, right - x, bottom - y],
                    "score": one["score"],
                }
            )
    judge = COCOeval_faster(truth, truth.loadRes(rows), "bbox")
    judge.params.maxDets = [1, 100, 300]
    judge.evaluate()
    judge.accumulate()
    precision = judge.eval["precision"][0, :, :, 0, -1]
    return float(precision[precision > -1].mean())


def game_row(game: str, folder: Path, short: bool) -> Row:
    """One game, deployed and measured."""
    count = 30 if short else 150
    data, bundle = game_detector.frames(game, count, SEED), folder / f"{game}.tport"
    model = getattr(game_detector, game)()
    outcome = torchport.deploy(
        model,
        bundle,
        task="object-detection",
        data=data,
        settings=settings(game),
        targets=FEW if short else TARGETS,
        recipes=["fp32"],
    )
    frames, boxes = game_detector.some(game, count, SEED)
    truth = [
        [{"index": one.index, "box": [one.x, one.y, one.x + one.width, one.y + one.height]} for one in frame]
        for frame in boxes
    ]
    references = [eager(model, frame) for frame in frames]
    with Predictor(bundle, threads=1) as predictor:
        session = predictor.session()
        answers = [session.push(frame)["boxes"] for frame in frames]
        some = frames[:50]
        slow, fast, ratio = speedup(
            lambda: [eager(model, frame) for frame in some], lambda: [session.push(frame) for frame in some]
        )
        files = [(data / f"{number:05}.png").read_bytes() for number in range(len(some))]
        start = time.perf_counter()
        for content in files:
            predictor.predict(content)
        from_files = len(files) / (time.perf_counter() - start)
    notes = {
        "mAP eager": mean_precision(data / "instances.json", references),
        "mAP deployed": mean_precision(data / "instances.json", answers),
        "frames/s eager": len(some) / slow,
        "frames/s": len(some) / fast,
        "frames/s from PNG": from_files,
    }
    identical = sum(same(one, other, 0.5) for one, other in zip(answers, references, strict=True))
    return Row(
        "object-detection",
        f"{game}-detector",
        f"{game}, {count} frames",
        "F1",
        f1(truth, references),
        f1(truth, answers),
        identical,
        count,
        ratio,
        passed(outcome),
        notes,
    )


def face_rows(folder: Path, short: bool) -> list[Row]:
    """The cascade on pictures, and two of its networks on crops."""
    data, bundle = mtcnn.pictures(), folder / "mtcnn.tport"
    outcome = torchport.deploy(
        mtcnn.mtcnn(),
        bundle,
        task="object-detection",
        data=data,
        targets=FEW if short else CASCADE_TARGETS,
        recipes=["fp32"],
    )
    reference = mtcnn.reference()
    paths = sorted(data.iterdir())

    def faces(path: Path) -> list[Found]:
        picture = Image.open(path).convert("RGB")
        boxes, scores = reference.detect(picture)
        edge = [picture.width, picture.height] * 2
        return (
            []
            if boxes is None
            else [
                {"index": 0, "score": float(score), "box": np.clip(box.astype(float), 0, edge).tolist()}
                for box, score in zip(boxes, scores, strict=True)
            ]
        )

    with Predictor(bundle, threads=1) as predictor:
        wanted, answers = [faces(path) for path in paths], [predictor.predict(path)["boxes"] for path in paths]
        identical = sum(same(one, other, 1.0) for one, other in zip(answers, wanted, strict=True))
        _, _, ratio = speedup(
            lambda: [faces(path) for path in paths], lambda: [predictor.predict(path) for path in paths]
        )
        numbers = [float(sum(map(len, found))) for found in (wanted, answers)]
        pictures = Row(
            "object-detection",
            "mtcnn",
            f"{len(paths)} pictures",
            "faces",
            *numbers,
            identical,
            len(paths),
            ratio,
            passed(outcome),
        )
        return [pictures, crops_row(reference, predictor, passed(outcome))]


@torch.inference_mode()
def crops_row(reference: Any, predictor: Predictor, targets: list[str]) -> Row:
    """R-Net at 24 x 24 and O-Net at 48 x 48 on crops that show a face or none: both must say so, above 0.5."""
    crops, is_face = mtcnn.crops()
    inputs = {
        name: torch.nn.functional.interpolate(torch.from_numpy(crops), (side, side), mode="area")
        for name, side in (("rnet", 24), ("onet", 48))
    }
    levels = {name: tensor.numpy() for name, tensor in inputs.items()}

    def by_eager() -> np.ndarray:
        return np.stack(
            [getattr(reference, name)((tensor - 127.5) / 128)[-1][:, 1].numpy() for name, tensor in inputs.items()]
        )

    def by_bundle() -> np.ndarray:
        return np.stack([predictor.pipeline.call(name, {"levels": tensor})["score"] for name, tensor in levels.items()])

    said = [(score() > 0.5) for score in (by_eager, by_bundle)]
    right = [float((one == is_face).all(0).mean()) for one in said]
    identical = int((said[0] == said[1]).all(0).sum())
    _, _, ratio = speedup(by_eager, by_bundle)
    return Row(
        "object-detection",
        "mtcnn-rnet-onet",
        "LFW, 200 crops",
        "accuracy",
        *right,
        identical,
        len(crops),
        ratio,
        targets,
    )


def rows(short: bool) -> list[Row]:
    """Three games, of 150 frames each or of 30, and faces."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as scratch:
        games = ["freeway"] if short else list(GAMES)
        return [*(game_row(game, Path(scratch), short) for game in games), *face_rows(Path(scratch), short)]
