"""A convolutional network on handwritten digits: pruned, distilled and quantised; 4,000 digits calibrate and
choose, 1,000 test.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import digits
from points import Deployed, deploy, on_test_split
from row import Row

SELECT = 100
"""Digits of each class that choose; the other 300 calibrate."""

CHAINS = ("fp32", "int8_weights", "prune@0.5+distil@16+int8_weights", "prune@0.6+distil@24+int8_weights")


def rows(short: bool) -> list[Row]:
    """`small`."""
    with tempfile.TemporaryDirectory() as name:
        return on_test_split("digits-cnn", deployed(Path(name), short), ("small",))


def deployed(folder: Path, short: bool) -> Deployed:
    """The deploy, its data and its Bundle in that folder."""
    known = digits.known()
    return deploy(
        f"{digits.__file__}:classic",
        folder,
        task="image-classification",
        settings={**digits.PICTURE, "labels": [str(digit) for digit in range(10)]},
        calibration=digits.gather(folder / "calibration", known[:, SELECT : SELECT + (10 if short else 300)]),
        data=digits.gather(folder / "selection", known[:, : 10 if short else SELECT]),
        test=digits.gather(folder / "test", digits.unseen()[:, : 10 if short else 100]),
        targets=("onnx",) if short else ("onnx", "openvino"),
        recipes=("fp32", "prune@0.5+distil@2+int8_weights") if short else CHAINS,
        budget="accuracy<=20pt" if short else "accuracy<=1pt",
    )
