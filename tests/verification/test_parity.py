"""How parity is judged: relative to the reference, integers exactly, rounding steps by levels."""

from __future__ import annotations

import numpy as np
import pytest

from torchport.deployment.prove import Baseline
from torchport.targets import targets
from torchport.types import Levels, Parity
from torchport.verification.parity import Tally

ONES = np.ones((2, 3), np.float32)


def verdict(reference: np.ndarray, got: np.ndarray, tolerance: float = 1e-4, levels: Levels | None = None) -> Parity:
    tally = Tally()
    tally.add("model", "y", reference, got, tolerance, levels)
    return tally.parity()


def test_equal_answers_have_no_noise() -> None:
    parity = verdict(ONES, ONES)
    assert parity and parity.max_rel == 0 and parity.snr_db is None


def test_the_difference_is_relative_to_the_greatest_reference() -> None:
    parity = verdict(1000 * ONES, 1000 * ONES + 1)
    assert parity.max_rel == pytest.approx(1e-3) and not parity
    assert parity.snr_db == pytest.approx(60, abs=0.1)
    assert parity.stage == "model" and "1.0e-03" in (parity.reason or "")


def test_an_output_of_float16_is_held_to_what_float16_can_say() -> None:
    assert verdict(ONES.astype(np.float16), (ONES * 1.002).astype(np.float16)) and not verdict(ONES, ONES * 1.002)
    assert not verdict(ONES.astype(np.float16), (ONES * 1.01).astype(np.float16))
    assert verdict(ONES.astype(np.float16), ONES).outputs[0].tolerance == 5e-3


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8"])
def test_integers_and_booleans_are_exact(dtype: str) -> None:
    reference = np.array([0, 1, 1, 0]).astype(dtype)
    other = reference.copy()
    other[0] = 1
    assert verdict(reference, reference)
    assert not verdict(reference, other) and verdict(reference, other).max_rel == 0.25


def test_nan_and_other_shapes_fail_whatever_the_tolerance() -> None:
    assert "NaN" in (verdict(ONES, ONES * np.nan, 1e9).reason or "")
    assert "shape" in (verdict(ONES, np.ones((2, 4), np.float32), 1e9).reason or "")


def test_infinity_and_nan_are_equal_to_themselves_only() -> None:
    masked = np.array([1.0, -np.inf, np.nan], np.float32)
    assert verdict(masked, masked).max_rel == 0
    assert "NaN" in (verdict(masked, -masked).reason or "")
    assert "NaN" in (verdict(masked, np.array([1.0, 0.0, np.nan], np.float32)).reason or "")
    assert verdict(masked, masked * np.float32(1.5)).max_rel == pytest.approx(0.5)


def test_levels_allow_few_single_steps_and_nothing_greater() -> None:
    levels = Levels(size=0.1, share=0.01)
    reference = np.zeros(1000, np.float32)
    few, many, far = reference.copy(), reference.copy(), reference.copy()
    few[:5], many[:50], far[:1] = 0.1, 0.1, 0.25
    assert verdict(reference, few, levels=levels)
    assert not verdict(reference, many, levels=levels)
    assert "levels" in (verdict(reference, far, levels=levels).reason or "")


def test_the_worst_item_counts() -> None:
    tally = Tally()
    tally.add("model", "y", ONES, ONES, 1e-4)
    tally.add("model", "y", ONES, 2 * ONES, 1e-4)
    assert tally.parity().max_rel == 1.0 and tally.parity().outputs[0].items == 2


def test_brain_floats_between_integers_may_cost_what_brain_floats_cost():
    target, baseline = (
        targets.get("openvino"),
        Baseline(proven=None, least_db={"model/fine": 45.0, "model/coarse": 18.0}),
    )
    assert baseline.allowed(target, "int8_static") == baseline.least_db
    assert baseline.allowed(target, "int8_static+bf16") == {
        "model/fine": pytest.approx(26.0, abs=0.1),
        "model/coarse": 18.0,
    }
