"""The Python API has the verbs' names, whatever was imported before."""

from __future__ import annotations

import importlib
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import torchport
from torchport.errors import BadInput, CaptureError

if TYPE_CHECKING:
    from torchport.deployment.deploy import Outcome


@pytest.mark.parametrize("name", sorted(set(torchport.__all__) - {"__version__"}))
def test_public_names_are_callable_also_after_their_modules_were_imported(name: str) -> None:
    assert callable(getattr(torchport, name))
    for module in ("deployment.deploy", "deployment.export", "jobs.bench", "jobs.diff", "frontend", "verification"):
        importlib.import_module(f"torchport.{module}")
    assert callable(getattr(torchport, name))


def test_paths_may_be_text_and_what_is_recorded_names_files_only(tmp_path) -> None:
    from torchport.api import _asked
    from torchport.deployment.write import settings

    (tmp_path / "items").mkdir()
    for name in ("data", "calibration", "test", "golden"):
        with _asked("net.pt2", "net.tport", **{name: str(tmp_path / "items")}) as asked:
            assert getattr(asked, name) == tmp_path / "items"
    given = {"symbols": tmp_path / "voice.json", "vocabulary": str(tmp_path / "words.txt"), "top": 3}
    with _asked("net.pt2", tmp_path / "net.tport", golden="none", settings=given) as asked:
        recorded = settings(asked)
    assert recorded["golden"] == 0
    assert recorded["settings"] == {"symbols": "voice.json", "vocabulary": "words.txt", "top": 3}
    assert str(tmp_path) not in json.dumps(recorded)


def test_dir_tells_the_public_names() -> None:
    assert dir(torchport) == sorted(torchport.__all__)


def test_every_option_of_a_verb_has_a_name_and_a_type() -> None:
    import inspect

    for name in set(torchport.__all__) - {"__version__", "Predictor"}:
        for parameter in inspect.signature(getattr(torchport, name)).parameters.values():
            assert parameter.kind is not parameter.VAR_KEYWORD and parameter.annotation is not parameter.empty, (
                f"{name}: {parameter}"
            )


def settings_now(net: torch.nn.Module) -> list[object]:
    """What a caller would miss if it changed."""
    return [
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
        random.getstate(),
        [one.training for one in net.modules()],
        [one.requires_grad for one in net.parameters()],
        {name: value.tolist() for name, value in net.state_dict().items()},
    ]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, list[str], Path]:
    """A module in training mode, deployed from a DataLoader, with the caller's settings as nobody else sets them."""
    from torch.utils.data import DataLoader, TensorDataset

    place = tmp_path_factory.mktemp("api")
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(), torch.nn.Linear(4, 2))
    net[0].eval()
    net[2].bias.requires_grad_(False)
    data = DataLoader(TensorDataset(torch.rand(6, 3), torch.arange(6)), batch_size=4)
    told: list[str] = []
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        before = settings_now(net)
        outcome = torchport.deploy(
            net,
            place / "net.tport",
            data=data,
            targets=["onnx", "torchscript"],
            keep="all",
            profile="any",
            progress=lambda stage, row: told.append(stage),
        )
        assert settings_now(net) == before
        with torchport.load(outcome.bundle, variant="torchscript-fp32", threads=1) as predictor:
            predictor.predict(torch.rand(1, 3))
            torch.rand(3)
            assert torch.get_num_threads() == 2
        before = settings_now(net)
        torchport.verify(outcome.bundle)
        with pytest.raises(CaptureError):
            torchport.deploy(net, place / "bad.tport", data=np.zeros((4, 9), np.float32), targets=["onnx"])
        assert settings_now(net) == before
    finally:
        torch.use_deterministic_algorithms(False)
    return outcome, told, place


def test_the_callers_settings_come_back_also_on_errors(deployed) -> None:
    outcome, told, _ = deployed
    assert outcome.bundle.is_dir() and "capture" in told and "pack" in told


def test_reprs_are_short_and_notebooks_show_a_table(deployed) -> None:
    outcome, _, _ = deployed
    assert (
        repr(outcome) == f"<Outcome net.tport: <Choice {outcome.choice.chosen} of 2 candidates, budget met: not shown>>"
    )
    assert repr(outcome.choice).startswith("<Choice ")
    for html in (outcome._repr_html_(), outcome.choice._repr_html_()):
        assert html.startswith("<table>") and "torchscript-fp32" in html and "<script" not in html
    with torchport.load(outcome.bundle) as predictor:
        assert repr(predictor) == f"<Predictor net.tport: {predictor.variant.id}>"


def test_one_input_may_be_an_array_a_tensor_a_list_or_a_dict(deployed) -> None:
    outcome, _, place = deployed
    row = np.random.default_rng(0).standard_normal((1, 3))
    np.save(place / "row.npy", row.astype(np.float32))
    with torchport.load(outcome.bundle) as predictor:
        name = predictor.pipeline.facts.inputs[0][0]
        given = [
            row,
            row.astype(np.float32),
            torch.tensor(row),
            row.tolist(),
            {name: torch.tensor(row)},
            place / "row.npy",
            (place / "row.npy").read_bytes(),
        ]
        answers = [predictor.predict(one)["outputs"]["output_0"][0] for one in given]
        assert np.allclose(answers, answers[0], atol=1e-6)
        assert [error for _, error in predictor.predict_many(given)] == [None] * len(given)


def test_optimize_is_a_deploy_that_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def do(request, tell):
        asked.append(request.recipes)
        raise BadInput("enough")

    monkeypatch.setattr(importlib.import_module("torchport.deployment.deploy"), "deploy", do)
    for recipes in (None, ["int8_weights"]):
        with pytest.raises(BadInput, match="enough"):
            torchport.optimize("net.py:Net", "net.tport", recipes=recipes)
    assert asked == [["auto"], ["int8_weights"]]


def test_progress_is_one_line_a_stage_and_row(capsys: pytest.CaptureFixture[str]) -> None:
    from torchport.api import _lines as lines

    tell = lines()
    for row in ("a", "a", "b"):
        tell("export", row)
    assert [line.split("s  ")[1] for line in capsys.readouterr().err.splitlines()] == ["export: a", "export: b"]
