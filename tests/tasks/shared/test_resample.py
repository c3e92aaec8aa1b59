"""The in-graph resize against the host's: eagerly at many sizes, and as one dynamic ONNX graph."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import sized

from torchport.tasks.shared import picture_facts, resize
from torchport.tasks.shared.resample import Resample

SIZES = [
    *[(1, 1), (1, 2), (2, 1), (3, 5), (16, 9), (33, 57), (57, 33), (100, 80), (224, 224), (224, 225), (231, 517), (255, 257), (256, 256), (299, 299), (300, 400)],
    *[(320, 240), (320, 300), (341, 256), (375, 500), (384, 384), (427, 640), (480, 640), (500, 375), (512, 512), (600, 800), (640, 427), (640, 480), (777, 333)],
    *[(1000, 1001), (1280, 720), (1365, 1024), (1024, 768), (2, 1000), (100, 2000)],
]
WAYS = {
    "bilinear": {},
    "bicubic": {"interpolation": "bicubic"},
    "stretch": {"resize": [224, 224], "crop": None},
    "stretch and crop": {"resize": [200, 300], "crop": 160, "interpolation": "bicubic"},
    "not widened": {"antialias": False},
    "bicubic not widened": {"antialias": False, "interpolation": "bicubic"},
}


def checked(**facts):
    return picture_facts.check({**picture_facts.DEFAULTS, "mean": 0, "std": 1, "scale": 255, **facts})


def levels_apart(made: np.ndarray, image: np.ndarray, facts: dict) -> np.ndarray:
    expected = resize.to_pixels(image, facts)
    assert made.shape == expected.shape
    assert made.dtype == np.float32
    return np.abs(made - expected)


def eagerly(facts: dict, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return Resample(facts).eval()(torch.from_numpy(image))["pixels"].numpy()


@pytest.mark.parametrize("way", WAYS)
def test_at_most_one_level_from_pillow_on_half_a_percent(way):
    """Stretched by a simple fraction, such as 256 to 224, more sums are exact halves, which Pillow's fixed point rounds either way."""
    levels, share = (2, 0.03) if way == "stretch" else (1, 0.005)
    facts = checked(**WAYS[way])
    for number, size in enumerate(SIZES):
        image = sized(*size, number % 20)
        apart = levels_apart(eagerly(facts, image), image, facts)
        assert apart.max() <= levels, size
        assert (apart > 0).mean() < share, size


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(300, 4000), (4000, 300), (200, 8192)], ids=str)
def test_long_pictures(size, interpolation):
    facts = checked(interpolation=interpolation)
    image = sized(*size)
    apart = levels_apart(eagerly(facts, image), image, facts)
    assert apart.max() <= 2
    assert (apart > 0).mean() < 0.005


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 400), st.integers(20, 400), st.sampled_from(["bilinear", "bicubic"]), st.sampled_from([48, [40, 60]]))
def test_any_size_of_noise(height, width, interpolation, side):
    facts = checked(interpolation=interpolation, resize=side, crop=32)
    image = np.random.default_rng(height * 401 + width).integers(0, 256, (height, width, 3), np.uint8)
    apart = levels_apart(eagerly(facts, image), image, facts)
    assert apart.max() <= 2
    assert (apart > 0).mean() < 0.05


def test_normalising_channels_and_grey():
    image = sized(90, 70)
    for facts in (checked(color="BGR", mean=[1, 2, 3], std=[4, 5, 6]), checked(scale=1, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])):
        np.testing.assert_allclose(eagerly(facts, image), resize.to_pixels(image, facts), atol=1.01 / min(facts["std"]) / (255 if facts["scale"] == 1 else 1))
    grey = checked(color="L", mean=0, std=1)
    assert levels_apart(eagerly(grey, image[:, :, :1].copy()), image[:, :, :1], grey).max() <= 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("way", ["bilinear", "bicubic not widened"])
def test_one_dynamic_onnx_graph_answers_every_size(tmp_path, way):
    facts = checked(**WAYS[way])
    dynamic = torch.export.Dim.DYNAMIC
    exported = torch.export.export(Resample(facts).eval(), (torch.from_numpy(sized(320, 300)),), dynamic_shapes=({0: dynamic, 1: dynamic},))
    path = tmp_path / "preprocess.onnx"
    torch.onnx.export(exported, (), path, dynamo=True, external_data=False, verbose=False)
    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    for number, size in enumerate([(1, 1), (33, 57), (320, 300), (500, 375), (375, 500), (640, 480), (300, 2000)]):
        image = sized(*size, number)
        apart = levels_apart(session.run(None, {name: image})[0], image, facts)
        assert apart.max() <= 1, size
        assert (apart > 0).mean() < 0.005, size
