"""A picture in a network's input: the host's way, the graph's way, and boxes on the way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchport.tasks.facts import read
from torchport.tasks.graphs.letterbox_graphs import fitting
from torchport.tasks.shared import detection_facts, letterbox, picture_facts

SIZES = [(30, 40), (64, 48), (1, 1), (1, 300), (200, 17), (97, 131)]


def facts(**given):
    return picture_facts.per_channel(read(detection_facts.DetectionFacts, {"size": [48, 64], **given}))


def picture(height: int, width: int) -> np.ndarray:
    smooth = np.random.default_rng(height * 1000 + width).integers(
        0, 256, (height // 9 + 2, width // 9 + 2, 3), np.uint8
    )
    return smooth.repeat(9, 0).repeat(9, 1)[:height, :width].copy()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"place": "corner"},
        {"fit": "stretch"},
        {"fit": "crop"},
        {"antialias": False},
        {"interpolation": "bicubic", "color": "BGR"},
        {"color": "L"},
    ],
    ids=str,
)
def test_the_graph_sees_what_the_host_sees(size, rule):
    known = facts(**rule)
    image = picture(*size)[:, :, : 1 if rule.get("color") == "L" else 3]
    host = letterbox.to_pixels(image, known)
    with torch.inference_mode():
        graph = fitting(known)(torch.from_numpy(image))["pixels"].numpy()
    assert host.shape == graph.shape == (1, image.shape[2], 48, 64)
    off = np.abs(host - graph) * 255
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.005


def test_a_letterbox_is_grey_beside_the_picture():
    pixels = letterbox.to_pixels(np.full((10, 10, 3), 255, np.uint8), facts())[0, 0]
    assert (
        (pixels[:, 8:56] == 1).all()
        and np.allclose(pixels[:, :8], 114 / 255)
        and np.allclose(pixels[:, 56:], 114 / 255)
    )
    corner = letterbox.to_pixels(np.full((10, 10, 3), 255, np.uint8), facts(place="corner", pad=0))[0, 0]
    assert (corner[:, :48] == 1).all() and (corner[:, 48:] == 0).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.sampled_from(["letterbox", "stretch", "crop"]),
    st.sampled_from(["centre", "corner"]),
)
def test_the_whole_picture_comes_back(height, width, fit, place):
    known = facts(fit=fit, place=place)
    vertical, horizontal = letterbox.axes(known, height, width)
    seen = np.array(
        [
            [
                -horizontal.offset,
                -vertical.offset,
                horizontal.resized - horizontal.offset,
                vertical.resized - vertical.offset,
            ]
        ],
        float,
    )
    assert letterbox.to_picture(seen, known, height, width)[0] == pytest.approx([0, 0, width, height])
    if fit != "crop":
        assert seen.min() >= 0 and seen[0, 2] <= 64 and seen[0, 3] <= 48
    if fit == "letterbox":
        assert vertical.resized == 48 or horizontal.resized == 64


def test_what_a_crop_leaves_out_is_cut_before_the_graph():
    image = picture(100, 100)
    assert letterbox.bounded(image, facts(fit="crop"), None).shape == (48, 64, 3)
    assert letterbox.bounded(image, facts(fit="crop"), (40, 200, 3)).shape == (40, 64, 3)
    assert letterbox.bounded(image, facts(), None) is image
