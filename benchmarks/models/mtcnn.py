"""The face detector MTCNN of facenet-pytorch, with its weights: a source for `torchport deploy`, and its own `detect`
as the reference.

    torchport deploy benchmarks/models/mtcnn.py:mtcnn --task object-detection --data FOLDER ...

The package imports torchvision for two functions; `facenet_pytorch()` stands in for it while that module is imported,
and for nothing else.
"""

from __future__ import annotations

import importlib
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cached import cached, package
from torch import Tensor, nn

STAGES = ("pnet", "rnet", "onet")


def mtcnn() -> nn.Module:
    """The three networks P-Net, R-Net and O-Net as one module with these children."""
    module = nn.Module()
    networks = facenet_pytorch()
    for name, kind in zip(STAGES, ("PNet", "RNet", "ONet"), strict=True):
        network = getattr(networks, kind)(pretrained=False)
        network.load_state_dict(torch.load(package("facenet_pytorch") / "data" / f"{name}.pt", weights_only=True))
        module.add_module(name, network)
    return module.eval()


@cache
def facenet_pytorch() -> types.ModuleType:
    """The package's module of networks, imported without the rest of it and without torchvision."""
    folder = package("facenet_pytorch")
    names = [
        "torchvision",
        "torchvision.transforms",
        "torchvision.transforms.functional",
        "torchvision.ops",
        "torchvision.ops.boxes",
    ]
    places = {
        "facenet_pytorch": folder,
        "facenet_pytorch.models": folder / "models",
        "facenet_pytorch.models.utils": folder / "models" / "utils",
    }
    stand_ins = {name: types.ModuleType(name) for name in (*names, *places)}
    vars(stand_ins["torchvision.ops.boxes"])["batched_nms"] = _batched_nms
    vars(stand_ins["torchvision.transforms"])["functional"] = stand_ins["torchvision.transforms.functional"]
    for name, place in places.items():
        stand_ins[name].__path__ = [str(place)]
    before = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("facenet_pytorch.models.mtcnn")
    finally:
        for name in stand_ins:
            del sys.modules[name]
        sys.modules.update(before)


def _batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, most: float) -> Tensor:
    """What torchvision's function of that name does: greedy suppression within each group, the highest score first."""
    offset = groups.to(boxes) * (boxes.max() + 1) if boxes.numel() else groups.to(boxes)
    boxes = boxes + offset[:, None]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order, kept = scores.argsort(descending=True, stable=True), []
    while order.numel():
        first, order = order[0], order[1:]
        kept.append(first)
        sides = (
            torch.minimum(boxes[first, 2:], boxes[order, 2:]) - torch.maximum(boxes[first, :2], boxes[order, :2])
        ).clamp(min=0)
        shared = sides[:, 0] * sides[:, 1]
        order = order[shared / (area[first] + area[order] - shared) <= most]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)


def reference() -> Any:
    """facenet-pytorch's own detector: `detect(picture, landmarks=True)` answers boxes, scores and points."""
    detector = facenet_pytorch().MTCNN.__new__(facenet_pytorch().MTCNN)
    nn.Module.__init__(detector)
    for name, network in mtcnn().named_children():
        detector.add_module(name, network)
    rules = {"image_size": 160, "margin": 0, "min_face_size": 20, "thresholds": [0.6, 0.7, 0.7], "factor": 0.709}
    for name, value in {**rules, "keep_all": True, "select_largest": True, "device": torch.device("cpu")}.items():
        setattr(detector, name, value)
    return detector


def pictures() -> Path:
    """A folder of four pictures: one face, none, none (a cat), and a group of people."""

    def make(folder: Path) -> None:
        from PIL import Image

        found = {name: package("skimage") / "data" / name for name in ("astronaut.png", "coffee.png", "chelsea.png")}
        found["group.jpg"] = next(package("insightface").rglob("t1.jpg"))
        for name, path in found.items():
            if path.suffix == ".jpg":
                (folder / name).write_bytes(path.read_bytes())
            else:
                Image.open(path).convert("RGB").save(folder / name)

    return cached(make)


def crops() -> tuple[np.ndarray, np.ndarray]:
    """Labelled Faces in the Wild, a part: float32 levels [200, 3, 25, 25] of grey crops, and whether each is a face."""
    grey = np.load(package("skimage") / "data" / "lfw_subset.npy").astype(np.float32)
    grey = grey * (255 if grey.max() <= 1 else 1)
    return np.repeat(grey[:, None], 3, axis=1), np.arange(len(grey)) < len(grey) // 2
