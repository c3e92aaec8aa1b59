"""The preprocessing graph against Pillow at many sizes, bicubic and bilinear, in every target."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pictures
import running
from answers import difference
from ledger import Ledger
from PIL import Image

SIZES = (
    (1, 1), (1, 2), (3, 2), (8, 8), (17, 301), (33, 57), (57, 33), (100, 100), (100, 1000), (127, 128), (160, 120),
    (199, 201),
    (223, 225), (224, 224), (255, 257), (256, 256), (257, 300), (300, 200), (320, 240), (333, 500), (375, 500), (400,
    300), (427, 640),
    (480, 320), (500, 375), (512, 512), (513, 511), (600, 450), (640, 360), (640, 427), (640, 480), (683, 1024), (768,
    1024), (800, 600),
    (1000, 100), (1023, 767), (1024, 768), (1280, 720),
)  # fmt: skip
"""Width and height in pixels, each as a photo and as noise, which is harder: neighbours differ by up to 255 levels."""

LONG = "300x4000"
FACTS = {
    "resize": pictures.SHORTEST,
    "crop": pictures.CROP,
    "interpolation": "bilinear",
    "mean": pictures.MEAN,
    "std": pictures.STD,
    "scale": 255,
}
KERNELS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def hold(ledger: Ledger, bundle: Path, work: Path) -> None:
    """The bars of preprocessing, through the demo's Bundle (bicubic) and through one made for it (bilinear)."""
    photo = pictures.gather(work / "photos")[10]
    images = _images(Image.open(photo).convert("RGB"))
    for name, where in (("bicubic", bundle), ("bilinear", _bilinear(photo, work))):
        _kernel(ledger, name, where, images)


def _bilinear(photo: Path, work: Path) -> Path:
    """A Bundle for every target like the demo's, but for its kernel and its tiny model."""
    data, made = work / "one", work / "bilinear.tport"
    data.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(photo, data / "photo.jpg")
    source = f"{running.HERE / 'average.py'}:Average"
    facts = [word for key, value in FACTS.items() for word in ("--set", f"{key}={value}")]
    running.command(
        "deploy",
        source,
        "--task",
        "image-classification",
        "--data",
        data,
        *facts,
        "--keep",
        "all",
        "--golden",
        "1",
        "-o",
        made,
    )
    return made


def _images(photo: Image.Image) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {}
    for width, height in (*SIZES, tuple(map(int, LONG.split("x")))):
        found[f"photo {width}x{height}"] = np.asarray(photo.resize((width, height), Image.Resampling.LANCZOS))
        found[f"noise {width}x{height}"] = rng.integers(0, 256, (height, width, 3), np.uint8)
    return found


def _kernel(ledger: Ledger, kernel: str, bundle: Path, images: dict[str, np.ndarray]) -> None:
    right = {name: pictures.levels(image, KERNELS[kernel]).astype(np.int16) for name, image in images.items()}
    for variant in [row["id"] for row in running.command("inspect", bundle)["variants"]]:
        ways = (
            {"image": f"the graph in {variant}", "host": "the host"}
            if variant == "onnx-fp32"
            else {"image": f"the graph in {variant}"}
        )
        got = running.stages(
            bundle, variant, {f"{way}/{name}": image for way in ways for name, image in images.items()}
        )
        for way, words in ways.items():
            answered = {name: pictures.denormalise(got[f"{way}/{name}"]) for name in images if f"{way}/{name}" in got}
            for long, levels, share in ((False, 1, 0.5), (True, 2, 2.0)):
                names = [name for name in answered if name.endswith(LONG) == long]
                if names:
                    what = f"{kernel} against Pillow, {words}, {f'{len(names)} pictures' if not long else LONG}"
                    apart = difference((answered[name] for name in names), (right[name] for name in names))
                    ledger.at_most(f"{what}, levels", apart.levels, levels)
                    ledger.below(
                        f"{what}, % of a picture's pixels", apart.share, share, f"the worst: {names[apart.worst]}"
                    )
