"""Facts of pictures as people type them, and what is said about impossible ones."""

from __future__ import annotations

import json

import pytest

from torchport.errors import UsageError
from torchport.tasks.facts import read, record
from torchport.tasks.shared import picture_facts


def checked(**facts):
    return picture_facts.check(read(picture_facts.PictureFacts, facts))


@pytest.mark.parametrize(
    ("name", "typed", "meant"),
    [
        ("mean", "127", (127.0,) * 3),
        ("mean", "[0.485,0.456,0.406]", (0.485, 0.456, 0.406)),
        ("std", "127,127,128", (127.0, 127.0, 128.0)),
        ("resize", "[240, 320]", (240, 320)),
        ("resize", "240,320", (240, 320)),
        ("resize", "256.0", 256),
        ("antialias", "False", False),
        ("reducing_gap", "none", None),
        ("reducing_gap", "3", 3.0),
        ("scale", "255", 255),
        ("color", "BGR", "BGR"),
        ("interpolation", "bicubic", "bicubic"),
    ],
)
def test_text_means_what_it_says(name, typed, meant):
    facts = checked(**{name: typed})
    assert getattr(facts, name) == meant
    assert type(getattr(facts, name)) is type(meant)


def test_checking_twice_changes_nothing_and_facts_are_json():
    facts = checked(resize="224,224", crop="none", mean="0.5", color="L", std="0.5")
    assert picture_facts.check(facts) == facts
    stated = json.loads(json.dumps(record(facts)))
    assert picture_facts.check(read(picture_facts.PictureFacts, stated, files=False)) == facts


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"resize": "big"}, "whole number"),
        ({"resize": "0"}, "1 to 4096"),
        ({"resize": "1e9"}, "1 to 4096"),
        ({"resize": "NaN"}, "whole number"),
        ({"resize": [1, 2, 3]}, "height,width"),
        ({"crop": 300}, "at most 256"),
        ({"crop": None}, "crop=256"),
        ({"crop": True}, "whole number"),
        ({"interpolation": "lanczos"}, "bilinear or bicubic"),
        ({"antialias": 1}, "true or false"),
        ({"scale": 2}, "1 or 255"),
        ({"color": "rgba"}, "RGB, BGR or L"),
        ({"mean": [1, 2]}, "one a channel"),
        ({"mean": "grey"}, "one number"),
        ({"std": 0}, "Standard deviation"),
        ({"color": "L"}, "color L has 1"),
        ({"reducing_gap": 0.5}, "1 or more"),
        ({"reducing_gap": 3, "antialias": False}, "one of the two"),
    ],
)
def test_impossible_values_say_what_would_be_right(facts, said):
    with pytest.raises(UsageError, match=said):
        checked(**facts)
