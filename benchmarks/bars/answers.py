"""Parity stage by stage on the photos at many sizes, and accuracy photo by photo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pictures
import running
from ledger import Ledger

FP32 = ("executorch-fp32", "mobile-fp32", "onnx-fp32", "openvino-fp32", "pt2-fp32", "torchscript-fp32")
BATCH = 4


def hold(ledger: Ledger, bundle: Path, work: Path) -> None:
    """The bars of parity and accuracy."""
    photos = pictures.gather(work / "photos")
    files = photos + pictures.resized(photos, work / "resized")
    images = [pictures.decode(file) for file in files]
    pixels = [pictures.normalise(pictures.levels(image)) for image in images]
    logits = pictures.eager(pixels)
    variants = [row["id"] for row in running.command("inspect", bundle)["variants"]]
    ledger.at_most(
        "fp32 targets that the Bundle lacks",
        len(set(FP32) - set(variants)),
        0,
        ", ".join(sorted(set(FP32) - set(variants))),
    )
    floats = [variant for variant in variants if variant in FP32]
    given = {f"image/{i}": image for i, image in enumerate(images)} | {
        f"pixels/{i}": one for i, one in enumerate(pixels)
    }
    given |= {f"pixels/batch{i}": np.concatenate(pixels[i : i + BATCH]) for i in range(0, len(photos), BATCH)}
    made = {variant: running.stages(bundle, variant, given) for variant in floats}
    _preprocessing(ledger, made, len(files))
    for variant in floats:
        _model(ledger, variant, made[variant], logits, len(photos))
        _raw(ledger, bundle, variant, files, logits)
    _accuracy(ledger, bundle, variants, photos, logits[: len(photos)])


def _preprocessing(ledger: Ledger, made: Mapping[str, Mapping[str, np.ndarray]], count: int) -> None:
    shades = {
        variant: [pictures.denormalise(answers[f"image/{i}"]) for i in range(count)]
        for variant, answers in made.items()
    }
    for one, other in combinations(shades, 2):
        apart = difference(shades[one], shades[other])
        ledger.at_most(f"preprocess, {one} against {other}, levels", apart.levels, 1)
        ledger.below(
            f"preprocess, {one} against {other}, % of a picture's pixels",
            apart.share,
            0.1,
            f"the worst of {count} pictures",
        )


class Apart(NamedTuple):
    """How far pictures are apart.

    Attributes:
        levels: the greatest difference of one value.
        share: the greatest share, in %, of one picture's pixels that differ in any channel.
        worst: the number of that picture.
    """

    levels: int
    share: float
    worst: int


def difference(some: Iterable[np.ndarray], others: Iterable[np.ndarray]) -> Apart:
    """Compare pictures of levels, int16 [height, width, channels] each, pair by pair."""
    apart = [np.abs(a - b).max(axis=2) for a, b in zip(some, others, strict=True)]
    shares = [float((one > 0).mean() * 100) for one in apart]
    return Apart(max(int(one.max()) for one in apart), max(shares), int(np.argmax(shares)))


def relative(got: np.ndarray, reference: np.ndarray) -> float:
    """The worst row's max|a - b| / max|reference|."""
    return float((np.abs(got - reference).max(axis=1) / np.abs(reference).max(axis=1)).max())


def _model(ledger: Ledger, variant: str, made: Mapping[str, np.ndarray], logits: np.ndarray, photos: int) -> None:
    singles = np.concatenate([made[f"pixels/{i}"] for i in range(len(logits))])
    batched = np.concatenate([made[f"pixels/batch{i}"] for i in range(0, photos, BATCH)])
    ledger.at_most(
        f"model from the same tensor, {variant} against eager, max_rel",
        relative(singles, logits),
        1e-4,
        f"the worst of {len(logits)} pictures",
    )
    ledger.at_most(
        f"a batch of {BATCH} against {BATCH} singles, {variant}, max_rel",
        relative(batched, singles[:photos]),
        1e-4,
        f"{photos // BATCH} batches",
    )


def _raw(ledger: Ledger, bundle: Path, variant: str, files: Sequence[Path], logits: np.ndarray) -> None:
    _, got = running.outputs(bundle, variant, files, "--in-graph")
    what = f"raw JPEG to logits, {variant} --in-graph against Pillow and eager"
    ledger.at_most(f"{what}, max_rel", relative(got, logits), 2e-3, f"the worst of {len(files)} pictures")
    ledger.at_most(f"{what}, pictures with another top-5", other_fives(got, logits), 0, f"of {len(files)}")


def other_fives(got: np.ndarray, reference: np.ndarray) -> int:
    """In how many rows the five greatest are not the same five."""
    return sum(
        set(a) != set(b)
        for a, b in zip(np.argsort(-got)[:, :5].tolist(), np.argsort(-reference)[:, :5].tolist(), strict=True)
    )


def _accuracy(
    ledger: Ledger, bundle: Path, variants: Sequence[str], photos: Sequence[Path], logits: np.ndarray
) -> None:
    truth = [int(photo.stem.rpartition("_")[2]) for photo in photos]
    for variant in variants:
        results, _ = running.outputs(bundle, variant, photos)
        tops = [row["labels"][0]["index"] for row in results]
        right = sum(top == label for top, label in zip(tops, truth, strict=True))
        ledger.at_most(
            f"accuracy, {variant}, photos with another top-1 than Pillow and eager",
            int((np.array(tops) != logits.argmax(1)).sum()),
            0,
            f"{right} of {len(photos)} right",
        )
