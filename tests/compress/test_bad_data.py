"""Calibration data that is wrong: what cannot be read is counted, named and left out; too little is refused; labels fit
the answers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import torchport
from torchport.errors import BadInput, TorchportError

SETTINGS = {"resize": 24, "crop": 16, "mean": 0.5, "std": 0.5, "labels": ["dark", "light"]}
"""Prepared like the samples' pictures, whose graph another test may have converted already."""


class Net(torch.nn.Module):
    """Scores of dark and light."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Conv2d(3, 32, 3), torch.nn.Linear(32, 2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(pixels).relu().mean((2, 3)))


def pictures(folder: Path, count: int, broken: int = 0) -> Path:
    """`count` pictures, half of them dark, of which the last few are no pictures at all."""
    random = np.random.default_rng(0)
    for number in range(count):
        place = folder / ("dark", "light")[number % 2] / f"{number:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((random.random((9, 9, 3)) * 100 + 150 * (number % 2)).astype(np.uint8)).save(place)
        if number >= count - broken:
            place.write_bytes(place.read_bytes()[:50])
    return folder


def deploy(folder: Path, calibration: Path, recipe: str = "prune@0.5+distil@2", **options):
    data = pictures(folder / "data", 8)
    return torchport.deploy(
        Net().eval(),
        folder / "n.tport",
        task="image-classification",
        data=data,
        settings=SETTINGS,
        calibration=calibration,
        targets=["onnx"],
        recipes=["fp32", recipe],
        keep="all",
        budget="accuracy<=100pt",
        **options,
    )


def test_pictures_that_do_not_decode_are_counted_named_and_left_out(tmp_path):
    with pytest.warns(RuntimeWarning, match=r"3 of 40 calibration items cannot be used \(dark/038\.png.*left out"):
        made = deploy(tmp_path, pictures(tmp_path / "learn", 40, broken=3))
    assert {c.recipe for c in made.choice.candidates if c.parity and c.parity.ok} == {"fp32", "prune@0.5+distil@2"}


def test_a_set_of_which_most_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"25 of 40 calibration items cannot be used.*--calibration"):
        deploy(tmp_path, pictures(tmp_path / "learn", 40, broken=25))
    assert not list(tmp_path.glob("*.tport")) and not list(tmp_path.glob(".n.tport*"))


def test_too_few_to_learn_from_are_refused_for_that_recipe_only(tmp_path):
    with pytest.warns(RuntimeWarning, match="at least 16, and there are 10"):
        made = deploy(tmp_path, pictures(tmp_path / "learn", 10))
    rows = {c.recipe: c for c in made.choice.candidates}
    assert rows["fp32"].status in ("ok", "chosen")
    assert "there are 10" in rows["prune@0.5+distil@2"].reason and "at least 16" in rows["prune@0.5+distil@2"].reason


@pytest.mark.parametrize("part", ["calibration", "test"])
def test_labels_out_of_range_are_refused(tmp_path, part):
    learn = pictures(tmp_path / "learn", 40)
    beyond = tmp_path / "beyond.csv"
    beyond.write_text(
        "file,label\n"
        + "".join(f"{path.relative_to(tmp_path)},{i % 9}\n" for i, path in enumerate(sorted(learn.rglob("*.png"))))
    )
    with pytest.raises(TorchportError, match=r"beyond\.csv, line 4: '2' is not a label"):
        deploy(tmp_path, **{"calibration": learn, part: beyond})
