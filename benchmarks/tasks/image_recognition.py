"""Who is it, and what does it say: digits among those enrolled in a gallery, and lines of digits.

The embedder was trained on the digits 0 to 6. The gallery knows 0 to 8, from 20 pictures each; a 9 is a stranger, to be
answered `unknown` by the threshold that one stranger in a hundred may exceed. 1,000 pictures are asked for that nobody
has seen. The second head reads 300 lines of 4 to 8 digits by connectionist temporal classification.

Eager is Pillow, PyTorch and numpy, a picture at a time, with a gallery, a threshold and a decoding of its own; deployed
is `Predictor.predict` on the same files. An item is a picture; it is identical where both answer the same label or
text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import digits
import numpy as np
import torch
from PIL import Image
from row import FEW, Row, passed, speedup

import torchport
from torchport.predict import Predictor
from torchport.tasks.image_recognition import UNKNOWN

TARGETS = ("executorch", "onnx", "openvino", "torchscript")
STRANGER, ENROLLED, FAR = 9, 20, 0.01
TIMED = 200

Labelled = tuple[Path, str]
Answer = Callable[[Path], str]


def rows(short: bool) -> list[Row]:
    """A row for each of the two heads."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        return [of_gallery(Path(folder) / "people", short), of_text(Path(folder) / "lines", short)]


def of_gallery(folder: Path, short: bool) -> Row:
    """Digits as identities."""
    gallery = _named(folder / "gallery", digits.known()[:STRANGER, :ENROLLED])
    verified = _named(folder / "verified", digits.known()[:, ENROLLED : ENROLLED + 4])
    test = _named(folder / "test", digits.unseen()[:, : 3 if short else None])
    net = digits.embedder()

    def embedding(path: Path) -> np.ndarray:
        with torch.inference_mode():
            vector: np.ndarray = net(_pixels(Image.open(path))).numpy()[0]
        return vector / np.linalg.norm(vector)

    names, entries = zip(*((name, embedding(path)) for path, name in _files(gallery)), strict=True)
    known, among = np.array(names), np.stack(entries)
    alike = np.where(known[:, None] == known, -1, among @ among.T)
    threshold = np.sort(alike.max(1))[::-1][int(FAR * len(known))]

    def eager(path: Path) -> str:
        scores = among @ embedding(path)
        return str(known[scores.argmax()]) if scores.max() > threshold else UNKNOWN

    settings = {**digits.PICTURE, "gallery": str(gallery), "far": FAR}
    return _row(
        "digits embedder + gallery",
        f"digits, {len(_files(test)):,} probes",
        "embedder",
        settings,
        verified,
        _files(test),
        eager,
        short,
    )


def of_text(folder: Path, short: bool) -> Row:
    """Lines of digits."""
    verified, test = digits.lines(folder / "verified", 40, 8), digits.lines(folder / "test", 30 if short else 300, 7)
    net = digits.reader()

    def eager(path: Path) -> str:
        with torch.inference_mode():
            best = net(_pixels(Image.open(path).resize(digits.LINE[::-1], Image.Resampling.BILINEAR)))[0].argmax(1)
        return "".join(str(symbol - 1) for symbol, _ in groupby(best.tolist()) if symbol)

    files = [(path, path.stem.rpartition("_")[2]) for path in sorted(test.iterdir())]
    return _row(
        "digits reader (CTC)", f"{len(files)} lines of digits", "reader", digits.TEXT, verified, files, eager, short
    )


def _row(
    model: str,
    data: str,
    factory: str,
    settings: dict[str, Any],
    verified: Path,
    test: Sequence[Labelled],
    eager: Answer,
    short: bool,
) -> Row:
    """One head, deployed and measured."""
    bundle = verified.parent / "x.tport"
    outcome = torchport.deploy(
        f"{digits.__file__}:{factory}",
        bundle,
        task="image-recognition",
        data=verified,
        settings=settings,
        targets=FEW if short else TARGETS,
        recipes=["fp32"],
    )
    paths, right = [path for path, _ in test], np.array([label for _, label in test])
    with Predictor(bundle, threads=1) as predictor:
        expected, answered = (
            np.array([eager(path) for path in paths]),
            np.array([predictor.predict(path)["label"] for path in paths]),
        )
        timed = paths[:TIMED]
        slow, fast, ratio = speedup(
            lambda: [eager(path) for path in timed],
            lambda: [predictor.predict(path) for path in timed],
            1 if short else 5,
        )
        notes: dict[str, float | str] = {
            "variant": predictor.variant.id,
            "eager pictures/s": len(timed) / slow,
            "pictures/s": len(timed) / fast,
        }
    if factory == "embedder":
        notes["strangers taken for somebody"] = float((answered[right == UNKNOWN] != UNKNOWN).mean())
    figures = [float((some == right).mean()) for some in (expected, answered)]
    targets = passed(outcome)
    return Row(
        "image-recognition",
        model,
        data,
        "right answers",
        *figures,
        int((expected == answered).sum()),
        len(paths),
        ratio,
        targets,
        notes,
    )


def _named(folder: Path, pictures: np.ndarray) -> Path:
    """Pictures in folders called after who they show."""
    digits.gather(folder, pictures)
    if (folder / str(STRANGER)).exists():
        (folder / str(STRANGER)).rename(folder / UNKNOWN)
    return folder


def _files(folder: Path) -> list[Labelled]:
    return [(path, path.parent.name) for path in sorted(folder.rglob("*.png"))]


def _pixels(picture: Image.Image) -> torch.Tensor:
    """float32 [1, 1, height, width] in -1..1."""
    grey = torch.from_numpy(np.asarray(picture.convert("L")).astype(np.float32))
    return (grey[None, None] / 255 - 0.5) / 0.5
