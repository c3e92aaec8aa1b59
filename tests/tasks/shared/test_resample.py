"""The in-graph resize against the host's: eagerly at many sizes, and as one dynamic graph in every target."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import sized

from torchport.frontend.program import GraphProgram, Program
from torchport.targets import targets
from torchport.targets.base import ExportOptions
from torchport.tasks.facts import read
from torchport.tasks.graphs.resample import Resample
from torchport.tasks.shared import picture_facts, resize
from torchport.types import Bound, Signature, TensorSpec

SIZES = [(1, 1), (2, 1), (33, 57), (224, 224), (225, 224), (320, 320), (480, 320), (500, 375), (427, 640), (2, 1000)]
"""Width and height in pixels; `benchmarks/bars` goes through more of them, in every target."""

WAYS = {
    "bilinear": {},
    "bicubic": {"interpolation": "bicubic"},
    "stretch": {"resize": [224, 224], "crop": None},
    "stretch and crop": {"resize": [200, 300], "crop": 160, "interpolation": "bicubic"},
    "not widened": {"antialias": False},
    "bicubic not widened": {"antialias": False, "interpolation": "bicubic"},
}


def checked(**facts):
    return picture_facts.check(read(picture_facts.PictureFacts, {"mean": 0, "std": 1, "scale": 255, **facts}))


def levels_apart(made: np.ndarray, image: np.ndarray, facts: picture_facts.PictureFacts) -> np.ndarray:
    expected = resize.to_pixels(image, facts)
    assert made.shape == expected.shape
    assert made.dtype == np.float32
    return np.abs(made - expected)


def held(made: np.ndarray, image: np.ndarray, facts: picture_facts.PictureFacts, share: float, what: object) -> None:
    """At most a level from the host's, on less than that share of the pixels: those of which any channel differs."""
    apart = levels_apart(made, image, facts)
    assert apart.max() <= 1, what
    assert (apart.max(axis=1) > 0).mean() < share, what


def eagerly(facts: picture_facts.PictureFacts, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return Resample(facts).eval()(torch.from_numpy(image))["pixels"].numpy()


@pytest.mark.parametrize("way", WAYS)
def test_at_most_one_level_from_pillow_on_half_a_percent(way):
    facts = checked(**WAYS[way])
    for number, size in enumerate(SIZES):
        image = sized(*size, number % 20)
        held(eagerly(facts, image), image, facts, 0.005, size)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(300, 4000), (4000, 300)], ids=str)
def test_long_pictures(size, interpolation):
    facts = checked(interpolation=interpolation)
    image = sized(*size)
    held(eagerly(facts, image), image, facts, 0.005, size)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(20, 400),
    st.integers(20, 400),
    st.sampled_from(["bilinear", "bicubic"]),
    st.sampled_from([48, [40, 60]]),
)
def test_any_size_of_noise(height, width, interpolation, side):
    facts = checked(interpolation=interpolation, resize=side, crop=32)
    image = np.random.default_rng(height * 401 + width).integers(0, 256, (height, width, 3), np.uint8)
    held(eagerly(facts, image), image, facts, 0.005, (height, width))


def test_normalising_channels_and_grey():
    image = sized(90, 70)
    for facts in (
        checked(color="BGR", mean=[1, 2, 3], std=[4, 5, 6]),
        checked(scale=1, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ):
        np.testing.assert_allclose(
            eagerly(facts, image),
            resize.to_pixels(image, facts),
            atol=1.01 / min(facts.std) / (255 if facts.scale == 1 else 1),
        )
    grey = checked(color="L", mean=0, std=1)
    assert levels_apart(eagerly(grey, image[:, :, :1].copy()), image[:, :, :1], grey).max() <= 1


@pytest.mark.parametrize("ratio", [(2, 1, 1), (2, 1, 0), (2, 1, -1), (3, 1, 0), (5, 4, 0)], ids=str)
@pytest.mark.parametrize("side", [32, [24, 40], [40, 24]], ids=str)
def test_either_order_of_passes(ratio, side):
    """Around twice as high as wide, where the order turns, and stretched to what is wider or narrower."""
    facts = checked(resize=side, crop=24)
    high, wide, more = ratio
    for width in (23, 32, 33, 41, 64, 90):
        image = np.random.default_rng(width).integers(0, 256, (width * high // wide + more, width, 3), np.uint8)
        held(eagerly(facts, image), image, facts, 0.005, image.shape)


TIES = [(1024, 1024), (480, 320), (320, 320), (320, 480), (300, 900), (500, 375), (33, 57), (1, 1)]
"""Width and height in pixels; of most of them many sums are exactly half-way between two levels."""

EXPORTED = {
    "onnx": ("bilinear", "bicubic"),
    "openvino": ("bilinear", "bicubic not widened"),
    "executorch": ("bilinear", "bicubic", "not widened"),
    "torchscript": ("bilinear", "stretch and crop"),
    "pt2": ("bicubic",),
}
"""Target -> the ways that are exported to it: exports take long, and `benchmarks/bars` has both kernels in all of
them.
"""


def captured(facts: picture_facts.PictureFacts) -> Program:
    height, width = resize.output_size(facts)
    module, dynamic, example = Resample(facts).eval(), torch.export.Dim.DYNAMIC, sized(320, 300)
    signature = Signature(
        inputs=(TensorSpec(name="image", dtype="uint8", shape=("height", "width", 3)),),
        outputs=(TensorSpec(name="pixels", dtype="float32", shape=(1, 3, height, width)),),
        dims={"height": Bound(), "width": Bound()},
    )
    exported = torch.export.export(module, (torch.from_numpy(example),), dynamic_shapes=({0: dynamic, 1: dynamic},))
    return Program({"preprocess": GraphProgram("preprocess", signature, {"image": example}, exported, module)})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(way, target) -> the signature of its graph, the artefact and its folder, each exported once."""
    program = cache(lambda way: captured(checked(**WAYS[way])))

    @cache
    def export(way, target):
        folder = tmp_path_factory.mktemp(target)
        return (
            program(way).graphs["preprocess"].signature,
            targets.get(target).export(program(way), folder, ExportOptions()),
            folder,
        )

    return export


LONG = (("bilinear", "executorch"), ("bicubic", "executorch"))
"""They take twenty seconds each: `not widened` has the same passes there, and other targets the same kernels."""


PAIRS = [
    pytest.param(way, target, marks=[pytest.mark.long] if (way, target) in LONG else [])
    for target, ways in EXPORTED.items()
    for way in ways
]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("way", "target"), PAIRS)
def test_ties_fall_as_pillows_do_in_every_target(exported, way, target, threads):
    """Each at most a level from the host's on < 0.05 % of the pixels, so that any two of them agree on > 99.9 %."""
    pytest.importorskip(
        {"onnx": "onnxruntime"}.get(target, target) if target in ("onnx", "openvino", "executorch") else "torch"
    )
    facts = checked(**WAYS[way])
    signature, artifact, folder = exported(way, target)
    with targets.get(target).open(artifact, folder, signature, "preprocess", threads=threads) as runner:
        for number, size in enumerate(TIES):
            for image in (
                sized(*size, number),
                np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8),
            ):
                held(runner.run({"image": image})["pixels"], image, facts, 0.0005, size)
