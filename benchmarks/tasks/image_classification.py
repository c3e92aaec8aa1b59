"""Classes of pictures: ImageNet photos, solar cells that are sound or defective, and handwritten digits.

EfficientNet-Lite0 answers 20 labelled photos as its makers trained it, and 723 cells that were held back from
fine-tuning it; a small network answers 1,000 digits that it has not seen. Eager is Pillow and PyTorch, a picture at a
time, from the file to the class; deployed is `Predictor.predict` on the same files. An item is a picture; it is
identical where both name the same class first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import digits
import numpy as np
import solar
import torch
from PIL import Image
from row import EXACT, FEW, Row, passed, speedup

import torchport
from torchport.jobs import demo
from torchport.predict import Predictor

TARGETS = ("executorch", "onnx", "openvino", "torchscript")
DEPLOYED_ON = 40
"""Pictures that the variants are verified on, at most: the figures of the row are of all."""

TIMED = 200
"""Pictures a round, at most."""


@dataclass(frozen=True)
class Scenario:
    """A model, its pictures, and how plain PyTorch prepares one.

    Attributes:
        source: as `torchport deploy` takes it.
        test: files with the index of the class that each shows.
        verified: a folder of labelled pictures for the deploy.
        pixels: file -> float32 [1, channels, height, width].
    """

    model: str
    data: str
    source: str
    net: torch.nn.Module
    settings: Mapping[str, Any]
    test: Sequence[tuple[Path, int]]
    verified: Path
    pixels: Callable[[Path], torch.Tensor]


def rows(short: bool) -> list[Row]:
    """A row a scenario; with `short`, without the cells, whose model takes long to train, and 20 pictures of the
    others.
    """
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        scenarios = [imagenet(place / "photos"), handwritten(place / "digits", 2 if short else digits.HELD_BACK)]
        if not short:
            scenarios.append(cells(place / "cells"))
        return [row(one, place / f"{number}.tport", short) for number, one in enumerate(scenarios)]


def imagenet(folder: Path) -> Scenario:
    """EfficientNet-Lite0 on the demo's photos."""

    def pixels(path: Path) -> torch.Tensor:
        square = Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC).crop((16, 16, 240, 240))
        return (torch.from_numpy(np.asarray(square).astype(np.float32)).permute(2, 0, 1)[None] - 127) / 128

    photos = sorted(demo.gather(folder).iterdir())
    test = [(path, int(path.stem.rpartition("_")[2])) for path in photos]
    net = demo.efficientnet_lite0().eval()
    return Scenario(
        "EfficientNet-Lite0",
        "ImageNet, 20 photos",
        "torchport.jobs.demo:efficientnet_lite0",
        net,
        demo.SETTINGS,
        test,
        folder,
        pixels,
    )


def handwritten(folder: Path, count: int) -> Scenario:
    """A small network on digits, `count` of each."""

    def pixels(path: Path) -> torch.Tensor:
        grey = np.asarray(Image.open(path).convert("L")).astype(np.float32)
        return (torch.from_numpy(grey)[None, None] / 255 - 0.5) / 0.5

    verified = digits.gather(folder / "verified", digits.known()[:, : DEPLOYED_ON // 10])
    gathered = digits.gather(folder / "test", digits.unseen()[:, :count])
    test = [(path, int(path.parent.name)) for path in sorted(gathered.rglob("*.png"))]
    settings = {**digits.PICTURE, "labels": list("0123456789")}
    return Scenario(
        "digits CNN",
        f"digits, {len(test):,} held back",
        f"{digits.__file__}:classifier",
        digits.classifier(),
        settings,
        test,
        verified,
        pixels,
    )


def cells(folder: Path) -> Scenario:
    """EfficientNet-Lite0 fine-tuned on solar cells."""
    _, selection, test = solar.split()

    def pixels(path: Path) -> torch.Tensor:
        return solar.pixels([(path, 0)])

    verified = solar.gather(folder, selection[:DEPLOYED_ON])
    return Scenario(
        "EfficientNet-Lite0, fine-tuned",
        f"solar cells, {len(test)} held back",
        f"{solar.__file__}:model",
        solar.model(),
        solar.PICTURE,
        test,
        verified,
        pixels,
    )


def row(one: Scenario, bundle: Path, short: bool) -> Row:
    """One scenario, deployed and measured."""
    outcome = torchport.deploy(
        one.source,
        bundle,
        task="image-classification",
        data=one.verified,
        settings=one.settings,
        targets=FEW if short else TARGETS,
        **EXACT,
    )
    paths, right = [path for path, _ in one.test], np.array([label for _, label in one.test])

    def eager(some: Sequence[Path]) -> np.ndarray:
        with torch.inference_mode():
            return np.array([int(one.net(one.pixels(path)).argmax()) for path in some])

    with Predictor(bundle, threads=1) as predictor:

        def deployed(some: Sequence[Path]) -> np.ndarray:
            return np.array([predictor.predict(path)["labels"][0]["index"] for path in some])

        expected, answered, timed = eager(paths), deployed(paths), paths[:TIMED]
        slow, fast, ratio = speedup(lambda: eager(timed), lambda: deployed(timed), 1 if short else 5)
        notes: dict[str, float | str] = {
            "variant": predictor.variant.id,
            "eager pictures/s": len(timed) / slow,
            "pictures/s": len(timed) / fast,
        }
    top1 = [float((classes == right).mean()) for classes in (expected, answered)]
    targets = passed(outcome)
    return Row(
        "image-classification",
        one.model,
        one.data,
        "top-1",
        *top1,
        int((expected == answered).sum()),
        len(paths),
        ratio,
        targets,
        notes,
    )
