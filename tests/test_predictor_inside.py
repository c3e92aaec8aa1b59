"""What a server or a program around a Bundle relies on: later entries into the chain, tensors, golden vectors, what was
refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from handmade import ROWS, bundle, known
from torchport.bundle import Manifest
from torchport.errors import BadInput, BundleError, UsageError
from torchport.predict import Predictor
from torchport.targets.base import Availability
from torchport.testing import FakeTarget

REFERENCE = ROWS @ FakeTarget.weights()["weight"] + FakeTarget.weights()["bias"]


class Off(FakeTarget):
    """Answers a little otherwise than it should."""

    name = "off"
    error = 0.25


class Absent(FakeTarget):
    name = "absent"

    def available(self, *, build: bool = False) -> Availability:
        return super().available(build=build) if build else Availability("absent", reason="librt is not installed")


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    with known(FakeTarget(), Off(), Absent()):
        yield


def test_named_tensors_go_in_and_come_out(tmp_path: Path) -> None:
    with Predictor(bundle(tmp_path / "net.tport")) as predictor:
        np.testing.assert_allclose(predictor.tensors({"x": ROWS})["y"], REFERENCE, rtol=1e-6)
        with pytest.raises(BadInput, match="x"):
            predictor.tensors({"z": ROWS})


def test_decoded_values_enter_the_chain_where_they_belong(tmp_path: Path) -> None:
    with Predictor(bundle(tmp_path / "net.tport")) as predictor:
        wired = predictor.pipeline.plan.step_of("model")
        assert wired is not None
        value = wired.inputs["x"]
        answer = predictor.answer({value: ROWS}, start="model")
        np.testing.assert_allclose(answer["outputs"]["y"], REFERENCE, rtol=1e-6)
        with pytest.raises(UsageError, match="no step 'preprocess'; it has decode, model, present"):
            predictor.answer({value: ROWS}, start="preprocess")
        with pytest.raises(UsageError, match=f"from model on read {value}, which is not given"):
            predictor.answer({"other": ROWS}, start="model")


def test_golden_vectors_are_answered_by_what_is_open(tmp_path: Path) -> None:
    with Predictor(bundle(tmp_path / "net.tport")) as predictor:
        parity = predictor.check()
        assert parity.ok and parity.max_rel < 1e-6 and parity.outputs[0].items == 3
        assert predictor.check(1).outputs[0].items == 1
    with Predictor(bundle(tmp_path / "off.tport", [Off()])) as predictor:
        parity = predictor.check()
        assert not parity.ok
        assert parity.stage == "model" and "y" in (parity.reason or "")


def test_what_was_refused_is_told_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = bundle(tmp_path / "net.tport", [Absent(), FakeTarget()])
    with (
        caplog.at_level(logging.INFO, "torchport"),
        pytest.warns(RuntimeWarning, match="using fake-fp32"),
        Predictor(path) as predictor,
    ):
        assert predictor.variant.id == "fake-fp32"
        assert {name: str(why) for name, why in predictor.refused.items()} == {
            "absent-fp32": "librt is not installed; pip install torchport-absent"
        }
    assert "using fake-fp32" in caplog.text


def test_a_host_step_that_the_task_does_not_have_is_an_error_when_the_bundle_is_opened(tmp_path: Path) -> None:
    def unheard_of(manifest: Manifest) -> Manifest:
        steps = [
            msgspec.structs.replace(step, host="unheard_of") if step.name == "present" else step
            for step in manifest.steps
        ]
        return msgspec.structs.replace(manifest, steps=tuple(steps))

    with pytest.raises(BundleError, match="task tensor has no host step 'unheard_of'"):
        Predictor(bundle(tmp_path / "net.tport", change=unheard_of))
