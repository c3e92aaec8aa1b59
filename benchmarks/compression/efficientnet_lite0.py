"""EfficientNet-Lite0 on solar cells: pruned, distilled, quantised; chosen on 200 photos, tested
on 723 others.

It is distilled on the 1,300 photos that the model was trained on and on the 401 that experts were not sure of; those
have no label.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import solar
from cached import package
from PIL import Image
from points import beside_rivals, deploy, on_test_split
from rivals import Contest, Feed
from row import Row

THINNED = "prune@0.5+distil@16"
CHAINS = (
    "fp32",
    "bf16",
    "int8_weights",
    "int8_static",
    THINNED,
    *(f"{THINNED}+{last}" for last in ("bf16", "int8_weights", "int8_static", "int8_mixed", "int8_mixed+bf16")),
)


def rows(short: bool) -> list[Row]:
    """`fast` and `small`."""
    train, selection, test = solar.split()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = deploy(
            f"{solar.__file__}:model",
            folder,
            task="image-classification",
            settings=solar.PICTURE,
            calibration=_unlabelled(
                [path for path, _ in train[: 32 if short else None]] + ([] if short else _unsure()),
                folder / "calibration",
            ),
            data=solar.gather(folder / "selection", selection[: 32 if short else None]),
            test=solar.gather(folder / "test", test[: 32 if short else None]),
            targets=("onnx", "openvino"),
            recipes=("fp32", "int8_weights") if short else CHAINS,
            budget="accuracy<=20pt" if short else "accuracy<=1pt, agreement>=97%",
        )
        found = on_test_split("efficientnet-lite0", made, ("small",) if short else ("fast", "small"))
        if not short:
            contest = Contest(
                solar.model(),
                _feed,
                [path for path, _ in test],
                [label for _, label in test],
                [path for path, _ in train],
                {"x": {0: "batch"}},
            )
            beside_rivals(found, made, contest, folder / "rivals")
        return found


def _feed(path: Path) -> Feed:
    """As `solar.pixels`, by Pillow and numpy alone."""
    stretched = np.asarray(Image.open(path).convert("RGB").resize((solar.SIDE, solar.SIDE), Image.Resampling.BICUBIC))
    return {"x": np.ascontiguousarray(((stretched.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None])}


def _unsure() -> list[Path]:
    """The 401 photos of the package with a probability between sound and defective."""
    root = package("elpv_dataset") / "data"
    rows = [line.split() for line in (root / "labels.csv").read_text("utf-8").splitlines()]
    return [root / name for name, defective, _ in rows if float(defective) not in (0.0, 1.0)]


def _unlabelled(paths: list[Path], folder: Path) -> Path:
    folder.mkdir()
    for path in paths:
        shutil.copy(path, folder / path.name)
    return folder
