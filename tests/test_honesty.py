"""What a table claims and what it leaves open: rows with equal files, references of their own, few items, busy
machines.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file
from torch import nn

import torchport
from torchport.compress import parse
from torchport.deployment import data_split
from torchport.deployment.deploy import Outcome, deploy
from torchport.deployment.request import Request
from torchport.errors import BadInput, BudgetNotMet
from torchport.system import machine
from torchport.tasks import Item
from torchport.timing import candidates
from torchport.types import Candidate, Timing

RECIPES = ["fp32", "int8_weights", "int8_static"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Request]:
    place = tmp_path_factory.mktemp("honest")
    rows = np.random.default_rng(0).standard_normal((120, 10), dtype=np.float32)
    save_file({"input": rows}, str(place / "x.safetensors"))
    net = nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 2)).eval()

    def make(name: str, **more: object) -> Request:
        return Request(
            net, place / name, task="tensor", data=place / "x.safetensors", targets=["onnx"], quick=True, **more
        )  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def made(asked: Callable[..., Request]) -> Outcome:
    return deploy(asked("net.tport", recipes=RECIPES, keep="all"))


def test_a_recipe_that_changed_nothing_is_the_same_as_another_row_and_no_candidate(made: Outcome) -> None:
    twin = next(
        c for c in made.choice.candidates if c.recipe == "int8_weights"
    )  # its weights are too few to be rounded
    assert (twin.status, twin.same_as) == ("rejected", "onnx-fp32")
    assert twin.reason == "same as onnx-fp32: the recipe changed nothing in this file"
    assert twin.latency_ms is None and twin.id not in made.choice.front
    assert made.manifest is not None and [v.id for v in made.manifest.variants] == ["onnx-fp32", "onnx-int8_static"]


def test_a_quantised_row_says_whose_parity_it_is_and_how_far_it_is_from_the_model_as_trained(made: Outcome) -> None:
    rows = {c.recipe: c for c in made.choice.candidates}
    own, plain = rows["int8_static"], rows["fp32"]
    assert own.parity_of == "int8_static" and own.distance is not None and own.parity is not None
    assert (
        own.parity.max_rel < 1e-3 < own.distance.max_rel
        and own.distance.snr_db is not None
        and 10 < own.distance.snr_db < 60
    )
    assert (plain.parity_of, plain.distance) == (None, None)
    page = made.report.read_text()
    assert "compared with the model after int8_static" in page and "to the model as trained" in page


def test_without_a_budget_nothing_is_reported_as_met(made: Outcome) -> None:
    assert made.choice.met == "not shown"


def test_what_is_not_shown_is_no_bundle_where_that_was_required(asked: Callable[..., Request]) -> None:
    outcome = deploy(asked("shown.tport", recipes=["fp32"], require_shown=True))
    assert outcome.bundle is None and outcome.report.is_file() and outcome.choice.chosen == "onnx-fp32"
    error = outcome.not_met()
    assert isinstance(error, BudgetNotMet) and "not shown" in error.message and "--require-shown" in error.hint


def test_phones_are_ranked_on_this_machine_and_that_is_said(made: Outcome) -> None:
    assert any(text.startswith("web, android, ios: ranked on this") for text in made.choice.warnings)
    assert made.manifest is not None and made.manifest.evidence.warnings == made.choice.warnings


def test_a_busy_machine_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (9.1, 1.0, 1.0))
    assert "load average of 9.1 on 2 cores" in (machine.busy() or "")
    monkeypatch.setattr("os.getloadavg", lambda: (1.2, 9.0, 9.0))
    assert machine.busy() is None
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.getloadavg", lambda: (9.1, 1.0, 1.0))
    assert machine.busy() is None


def test_noise_between_rounds_is_a_warning() -> None:
    row = Candidate(
        id="a-fp32", target="a", recipe="fp32", precision="fp32", latency_ms=Timing(median=1.0, p90=1.0, noise=0.3)
    )
    assert "30 %" in candidates.doubts(None, [row], {})[0]
    quiet = msgspec.structs.replace(row, latency_ms=Timing(median=1.0, p90=1.0, noise=0.02))
    assert candidates.doubts(None, [quiet], {}) == ()


def items(count: int) -> list[Item]:
    return [Item(str(i), bytes) for i in range(count)]


@pytest.mark.parametrize(("data", "calibration"), [(None, None), (8, None), (95, None), (96, 15)])
def test_too_few_calibration_items_are_refused_with_their_number_and_the_rule(
    data: int | None, calibration: int | None
) -> None:
    given = [None if count is None else items(count) for count in (data, calibration)]
    with pytest.raises(
        BadInput, match=rf"needs at least 16, and there are {calibration or 0}.*from 96 items on"
    ) as error:
        data_split.check_enough([parse("int8_static")], *given)
    assert "--calibration with at least 16 items, or --data with at least 96" in error.value.hint
    with pytest.warns(RuntimeWarning, match="int8_static learns from calibration items"):
        data_split.check_enough([parse("fp32"), parse("int8_static")], *given)


@pytest.mark.parametrize(("data", "calibration"), [(96, None), (8, 16)])
def test_enough_calibration_items_say_nothing(data: int, calibration: int | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data_split.check_enough(
            [parse("int8_static")], items(data), None if calibration is None else items(calibration)
        )
        data_split.check_enough([parse("fp32")], items(1), None)


def test_it_is_said_before_the_model_is_captured(
    asked: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        importlib.import_module("torchport.deployment.assemble"), "assemble", lambda *_: pytest.fail("captured")
    )
    request = asked("few.tport", recipes=["int8_static"])
    few = request.data.with_name("few.safetensors")  # type: ignore[union-attr]
    save_file({"input": np.zeros((8, 10), np.float32)}, str(few))
    with pytest.raises(BadInput, match="--data holds 8 items"):
        torchport.deploy(
            request.source, request.output, task="tensor", data=few, targets=["onnx"], recipes=["int8_static"]
        )
