"""A slice of `benchmarks/sizes`: what is kept is right at sizes and on masks that deploying does not try."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "sizes"))

from masked_modules import MASKED
from small_modules import SLICE
from sweep import sweep


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("pictures", ("onnx", "pt2", "torchscript")),
        ("rows", ("onnx", "pt2", "openvino")),
        ("fused_keys", ("onnx", "pt2")),
    ],
)
def test_what_is_kept_is_right_at_every_size(name: str, targets: tuple[str, ...]) -> None:
    found = sweep(name, {**SLICE, **MASKED}[name], targets)
    assert {one.target: (one.verdict, one.why) for one in found} == dict.fromkeys(targets, ("right", ""))
