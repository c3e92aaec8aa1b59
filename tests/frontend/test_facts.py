"""Facts of Hugging Face and timm configurations, in torchport's names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from torchport.frontend.facts import from_labels, from_preprocessor, from_timm, not_followed, not_heard

NORMAL = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        (
            {"size": {"height": 224, "width": 224}, "resample": 2},
            {"resize": [224, 224], "crop": None, "interpolation": "bilinear"},
        ),
        (
            {
                "size": {"shortest_edge": 256},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
                "resample": 3,
            },
            {"resize": 256, "crop": 224, "interpolation": "bicubic"},
        ),
        ({"size": 224, "do_center_crop": True, "crop_size": 224}, {"resize": 224, "crop": 224}),
        ({"size": 384}, {"resize": [384, 384], "crop": None}),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, {"resize": 256, "crop": 224}),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, {"resize": [384, 384], "crop": None}),
        ({"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 192}}, {}),
        ({"do_resize": False}, {}),
    ],
)
def test_resizing_rules(config: dict[str, Any], facts: dict[str, Any]) -> None:
    assert from_preprocessor({**config, **NORMAL}) == {**facts, "mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1}


def test_scale_and_normalisation() -> None:
    assert from_preprocessor({"do_resize": False, "do_normalize": False, "do_rescale": True}) == {
        "mean": [0.0],
        "std": [1.0],
        "scale": 1,
    }
    assert from_preprocessor(
        {"do_resize": False, "do_rescale": False, "image_mean": [127.0], "image_std": [128.0]}
    ) == {"mean": [127.0], "std": [128.0], "scale": 255}


def test_timm_as_an_object_and_squashed() -> None:
    config = SimpleNamespace(
        input_size=(3, 256, 256),
        crop_pct=1.0,
        crop_mode="squash",
        interpolation="bilinear",
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        label_names=("cat", "dog"),
    )
    assert from_timm(config) == {
        "resize": [256, 256],
        "crop": 256,
        "interpolation": "bilinear",
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
        "labels": ["cat", "dog"],
    }
    assert from_timm({"interpolation": "random", "input_size": (3, 224, 192)}) == {}


def test_labels_that_somebody_gave() -> None:
    assert from_labels({"id2label": {str(i): f"n{i}" for i in range(11)}}) == {"labels": [f"n{i}" for i in range(11)]}
    assert from_labels({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}) == {}
    assert from_labels({}) == {}


def test_what_a_generation_config_asks_for_and_decoding_does_not_do_is_named() -> None:
    class Generation:
        repetition_penalty = 1.3
        no_repeat_ngram_size = 0
        do_sample = True
        min_length = None
        bad_words_ids = ((4,), (5, 6))

    said = not_followed(Generation())
    assert len(said) == 3
    assert "repetition_penalty=1.3" in said[0] and "do_sample=True" in said[1] and "bad_words_ids" in said[2]
    assert not_followed(None) == []


def test_what_a_recorder_asks_for_and_torchport_does_not_do_is_named() -> None:
    asked = {"sampling_rate": 16000, "padding_value": 1.0, "do_normalize": True, "return_attention_mask": True}
    said = not_heard({**asked, "dither": 0.1}, padded=True)
    assert [sentence.partition("=")[0].rpartition(" ")[2] for sentence in said] == [
        "dither",
        "padding_value",
        "do_normalize",
    ]
    assert not_heard(asked, padded=False) == []
    assert not_heard({"sampling_rate": 16000, "padding_value": 0.0, "do_normalize": None}, padded=True) == []
    assert not_heard({"do_normalize": True, "image_mean": [0.5]}, padded=True) == []
