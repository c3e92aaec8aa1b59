"""A slice of `benchmarks/sizes`: what is kept is right at sizes and on masks that deploying does not try."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "sizes"))

from masked_modules import MASKED
from small_modules import MODULES
from sweep import sweep

KNOWN = {**MODULES, **{f"masked_{name}": one for name, one in MASKED.items()}}


@pytest.mark.parametrize("name", ["adaptive_avg", "there_and_back", "masked_fused_keys"])
def test_nothing_that_is_kept_is_wrong(name: str) -> None:
    found = {one.target: one for one in sweep(name, KNOWN[name], ["onnx", "pt2", "openvino"])}
    assert [one for one in found.values() if one.verdict == "wrong"] == []
    assert found["onnx"].verdict == found["pt2"].verdict == "right"
