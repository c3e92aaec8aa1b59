"""The host's resize against Pillow's and PyTorch's own, bit by bit where they are the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import sized
from PIL import Image

from torchport.tasks.facts import read
from torchport.tasks.shared import picture_facts, resize

LEVELS = {"mean": 0, "std": 1, "scale": 255}
SIZES = [
    (512, 512),
    (500, 375),
    (375, 500),
    (640, 427),
    (640, 480),
    (33, 57),
    (1, 1),
    (1, 2),
    (2, 1),
    (2, 1000),
    (300, 4000),
    (4000, 300),
    (224, 225),
    (257, 1031),
]


def checked(**facts):
    return picture_facts.check(read(picture_facts.PictureFacts, {**LEVELS, **facts}))


def by_pillow(image: np.ndarray, interpolation: str, gap: float | None = None) -> np.ndarray:
    """Shortest side 256, centre crop 224, as users write it."""
    picture = Image.fromarray(image)
    width, height = picture.size
    scale = 256 / min(width, height)
    picture = picture.resize(
        (int(width * scale + 1e-9), int(height * scale + 1e-9)), resize.FILTERS[interpolation], reducing_gap=gap
    )
    left, top = round((picture.width - 224) / 2), round((picture.height - 224) / 2)
    return np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32).transpose(2, 0, 1)[None]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equal_to_pillow(size, interpolation):
    image = sized(*size)
    np.testing.assert_array_equal(
        resize.to_pixels(image, checked(interpolation=interpolation)), by_pillow(image, interpolation)
    )


@pytest.mark.parametrize("size", [(300, 400), (400, 300), (64, 48), (231, 517)], ids=str)
def test_stretch_is_equal_to_pillow(size):
    image = sized(*size)
    expected = np.asarray(Image.fromarray(image).resize((200, 100), Image.Resampling.BICUBIC), np.float32).transpose(
        2, 0, 1
    )[None]
    np.testing.assert_array_equal(
        resize.to_pixels(image, checked(resize=[100, 200], crop=None, interpolation="bicubic")), expected
    )


@pytest.mark.parametrize("size", [(2000, 1500), (512, 512), (4000, 900)], ids=str)
def test_reducing_gap_is_pillows(size):
    image = sized(*size)
    np.testing.assert_array_equal(resize.to_pixels(image, checked(reducing_gap=3.0)), by_pillow(image, "bilinear", 3.0))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(512, 384), (333, 500), (40, 30), (1, 1), (3, 2)], ids=str)
def test_without_antialias_it_is_pytorchs_interpolate(size, interpolation):
    image = sized(*size)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = (
        torch.nn.functional.interpolate(planes, (180, 240), mode=interpolation, align_corners=False)
        .add(resize.HALF_UP)
        .floor()
        .clamp(0, 255)[:, :, 26:154, 56:184]
    )
    made = resize.to_pixels(image, checked(resize=[180, 240], crop=128, interpolation=interpolation, antialias=False))
    difference = np.abs(made - expected.numpy())
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002


def test_a_strip_is_resized_without_making_it_whole():
    image = np.broadcast_to(np.linspace(0, 255, 60_000).astype(np.uint8)[None, :, None], (2, 60_000, 3))
    for strip in (image, image.transpose(1, 0, 2)):
        pixels = resize.to_pixels(np.ascontiguousarray(strip), checked())
        assert pixels.shape == (1, 3, 224, 224)
        assert abs(pixels.mean() - 127) < 1


def test_normalising_and_the_order_of_channels():
    image = np.broadcast_to(np.array([10, 20, 40], np.uint8), (5, 7, 3))
    rgb = resize.to_pixels(image, checked(resize=4, crop=4, mean=[10, 20, 30], std=[1, 2, 5]))
    assert rgb[0, :, 0, 0].tolist() == [0.0, 0.0, 2.0]
    bgr = resize.to_pixels(image, checked(resize=4, crop=4, mean=[10, 20, 30], std=[1, 2, 5], color="BGR"))
    assert bgr[0, :, 0, 0].tolist() == [30.0, 0.0, -4.0]
    fractions = resize.to_pixels(image[:, :, :1], checked(resize=4, crop=4, color="L", mean=0.5, std=0.5, scale=1))
    assert fractions.shape == (1, 1, 4, 4)
    np.testing.assert_allclose(fractions, (10 / 255 - 0.5) / 0.5, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 512), st.data())
def test_the_rule_of_sizes_and_offsets(height, width, side, data):
    crop = data.draw(st.integers(1, side))
    for axis, size in zip(resize.axes(checked(resize=side, crop=crop), height, width), (height, width), strict=True):
        assert axis.resized == int(side * size / min(height, width) + 1e-9)
        assert axis.offset == round((axis.resized - crop) / 2)
        assert 0 <= axis.offset <= axis.resized - crop
        assert axis.length == crop


@pytest.mark.parametrize(
    "gap", [{}, {"antialias": False}, {"reducing_gap": 2.0}, {"interpolation": "bicubic"}], ids=str
)
def test_a_picture_of_the_right_size_keeps_its_pixels(gap):
    image = sized(40, 24)
    kept = resize.to_pixels(image, checked(resize=[24, 40], crop=None, **gap))
    np.testing.assert_array_equal(kept, image.astype(np.float32).transpose(2, 0, 1)[None])
