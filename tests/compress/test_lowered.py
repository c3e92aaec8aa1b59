"""Compressed networks from end to end: what each recipe leaves, and that artefacts are held against the right
reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save, save_file

import torchport
from torchport.bundle import Bundle
from torchport.errors import BadInput, TorchportError

RECIPES = ["fp32", "int8_weights", "int8_dynamic", "int4_weights"]


class Wide(torch.nn.Module):
    """Wide enough that weights are most of the file."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Sequential(
            torch.nn.Linear(width, 256),
            torch.nn.ReLU(),
            torch.nn.Linear(256, 256),
            torch.nn.ReLU(),
            torch.nn.Linear(256, 4),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def numbers(place: Path, count: int, width: int = 64) -> Path:
    save_file({"x": np.random.default_rng(0).standard_normal((count, width)).astype(np.float32)}, str(place))
    return place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("compressed")
    return torchport.deploy(
        Wide().eval(),
        folder / "w.tport",
        data=numbers(folder / "x.safetensors", 12),
        targets=["onnx", "openvino"],
        recipes=RECIPES,
        keep="all",
        budget="accuracy>=1%",
    )


def test_every_recipe_is_smaller_and_answers(made):
    rows = {c.id: c for c in made.choice.candidates}
    assert {c.id for c in rows.values() if c.parity and c.parity.ok} == set(rows)
    for target in ("onnx", "openvino"):
        assert rows[f"{target}-int8_weights"].size_bytes < 0.45 * rows[f"{target}-fp32"].size_bytes
        assert rows[f"{target}-int4_weights"].size_bytes < rows[f"{target}-int8_weights"].size_bytes


def test_what_is_fitted_to_calibration_data(tmp_path):
    """bfloat16 between integers, which OpenVINO reads from an ONNX file that is made for it where `onnx` is not
    among the targets; AWQ and GPTQ.
    """
    recipes = [
        "fp32",
        "int8_static",
        "int8_static+bf16",
        "int8_weights+bf16",
        "int8_dynamic+bf16",
        "int4_awq",
        "int4_gptq",
    ]
    data, learn = numbers(tmp_path / "x.safetensors", 12), numbers(tmp_path / "learn.safetensors", 32)
    made = torchport.deploy(
        Wide().eval(),
        tmp_path / "w.tport",
        data=data,
        calibration=learn,
        targets=["openvino"],
        recipes=recipes,
        keep="all",
        budget="accuracy>=1%",
    )
    assert {c.id for c in made.choice.candidates if c.parity and c.parity.ok} == {
        f"openvino-{name}" for name in recipes
    }
    assert {golden.recipe for golden in made.manifest.golden} == {"fp32", "int8_static", "int8_weights"}
    assert made.manifest.variant("openvino-int8_static+bf16").golden == "int8_static"
    sizes = {c.id: c.size_bytes for c in made.choice.candidates}
    assert max(sizes["openvino-int4_awq"], sizes["openvino-int4_gptq"]) < 0.3 * sizes["openvino-fp32"]


def test_integers_as_phones_take_them(tmp_path):
    recipes = ["fp32", "int8_xnnpack", "int8_dynamic"]
    data, learn = numbers(tmp_path / "x.safetensors", 12), numbers(tmp_path / "learn.safetensors", 32)
    made = torchport.deploy(
        Wide().eval(),
        tmp_path / "w.tport",
        data=data,
        calibration=learn,
        targets=["executorch"],
        recipes=recipes,
        keep="all",
        profile="android",
        budget="accuracy>=1%",
    )
    rows = {c.recipe: c for c in made.choice.candidates}
    assert all(rows[name].parity and rows[name].parity.ok for name in recipes), {
        name: row.reason for name, row in rows.items()
    }
    assert all(rows[name].size_bytes < 0.4 * rows["fp32"].size_bytes for name in recipes[1:])


def test_what_has_nothing_to_be_fitted_to_is_refused(tmp_path):
    data = numbers(tmp_path / "x.safetensors", 12)
    with pytest.warns(RuntimeWarning, match="needs at least 16, and there are 0"):
        made = torchport.deploy(
            Wide().eval(),
            tmp_path / "w.tport",
            data=data,
            targets=["openvino", "onnx"],
            recipes=["fp32", "int4_awq", "int4_hqq"],
            keep="all",
            budget="accuracy>=1%",
        )
    rows = {c.id: c for c in made.choice.candidates}
    assert "int4_awq learns from calibration" in rows["openvino-int4_awq"].reason
    assert rows["onnx-int4_hqq"].size_bytes < 0.3 * rows["onnx-fp32"].size_bytes
    assert rows["onnx-int4_hqq"].parity.ok, rows["onnx-int4_hqq"].reason


@pytest.mark.long
def test_large_groups_make_the_file_smaller(tmp_path):
    data, learn = numbers(tmp_path / "x.safetensors", 12, 128), numbers(tmp_path / "learn.safetensors", 32, 128)
    groups = ("@32", "", "@128")
    wanted = [("onnx", "int4_weights"), ("onnx", "int4_hqq"), ("openvino", "int4_weights"), ("openvino", "int4_gptq")]
    recipes = [
        "fp32",
        *(f"{recipe}{group}" for recipe in ("int4_weights", "int4_hqq", "int4_gptq") for group in groups),
    ]
    made = torchport.deploy(
        Wide(128).eval(),
        tmp_path / "w.tport",
        data=data,
        calibration=learn,
        targets=["onnx", "openvino"],
        recipes=recipes,
        keep="all",
        budget="accuracy>=1%",
    )
    rows = {c.id: c for c in made.choice.candidates}
    for target, recipe in wanted:
        sizes = [rows[f"{target}-{recipe}{group}"].size_bytes for group in groups]
        assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3, (target, recipe, sizes)
        assert all(rows[f"{target}-{recipe}{group}"].parity.ok for group in groups)


def test_what_items_that_chose_nothing_refute_is_not_shipped(tmp_path):
    """It is chosen by rows that no rounding moves to another class, and tested by rows on the border of two."""
    net, rows = Wide().eval(), np.random.default_rng(3).standard_normal((2000, 64)).astype(np.float32)
    with torch.no_grad():
        first, second = net(torch.from_numpy(rows)).topk(2).values.T
    by_margin = rows[(first - second).argsort().numpy()]
    for name, some in (("sure", by_margin[-40:]), ("border", by_margin[:60])):
        save_file({"x": np.ascontiguousarray(some)}, str(tmp_path / f"{name}.safetensors"))
    options = {
        "targets": ["onnx"],
        "recipes": ["fp32", "int4_weights"],
        "keep": "all",
        "budget": "accuracy<=5pt",
        "prefer": "size",
    }
    made = torchport.deploy(
        net, tmp_path / "w.tport", data=tmp_path / "sure.safetensors", test=tmp_path / "border.safetensors", **options
    )
    small = next(c for c in made.choice.candidates if c.id == "onnx-int4_weights")
    assert (small.status, small.accuracy.value) == ("rejected", 1.0)
    assert small.reason.startswith("on the test split: agreement")
    assert (made.choice.chosen, made.choice.met) == ("onnx-fp32", "not shown")
    assert made.choice.met_because.startswith("on the test split: 60 items")
    assert "onnx-int4_weights" in made.choice.why
    assert made.manifest.chosen == "onnx-fp32"


def test_a_quantiser_that_finds_nothing_says_so(tmp_path):
    """ONNX Runtime's products of 4-bit weights stand for products, not for convolutions."""
    net = torch.nn.Conv1d(64, 8, 1).eval()
    save_file({"input": np.ones((4, 64, 5), np.float32)}, str(tmp_path / "x.safetensors"))
    made = torchport.deploy(
        net,
        tmp_path / "c.tport",
        data=tmp_path / "x.safetensors",
        targets=["onnx"],
        recipes=["fp32", "int4_weights"],
        keep="all",
        budget="accuracy>=1%",
    )
    row = next(c for c in made.choice.candidates if c.id == "onnx-int4_weights")
    assert (row.status, "finds nothing to quantise in graph 'model'" in row.reason) == ("failed", True)


def test_weights_in_integers_are_held_against_their_own_program(made):
    manifest = made.manifest
    assert {golden.recipe for golden in manifest.golden} == {"fp32", "int8_weights"}
    for name in ("onnx-int8_weights", "openvino-int8_weights"):
        variant = manifest.variant(name)
        assert (variant.golden, variant.tolerance) == ("int8_weights", None)
        assert variant.least_db
        assert made.choice.candidates and next(c for c in made.choice.candidates if c.id == name).parity.snr_db > min(
            variant.least_db.values()
        )
    assert manifest.variant("onnx-int8_dynamic").golden == "fp32"


def test_the_bundle_verifies_again(made):
    verdict = torchport.verify(made.bundle)
    assert verdict.ok, [one for one in verdict.variants if one.status != "ok"]


def test_nothing_that_runs_without_torch_asks_for_it(made):
    with Bundle(made.bundle) as bundle:
        assert all(not variant.artifact.imports for variant in bundle.manifest.variants)


def test_what_learns_is_refused_without_data(tmp_path):
    with pytest.raises(TorchportError, match="learns from calibration items and needs at least 16, and there are 0"):
        torchport.deploy(
            Wide().eval(),
            tmp_path / "w.tport",
            data=numbers(tmp_path / "x.safetensors", 12),
            targets=["onnx"],
            recipes=["prune@0.5"],
        )


def test_data_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match="--calibration"):
        torchport.deploy(
            Wide().eval(),
            tmp_path / "w.tport",
            data=numbers(tmp_path / "x.safetensors", 12),
            calibration=tmp_path / "none",
            targets=["onnx"],
        )


def test_channels_are_taken_out_and_the_loss_won_back(tmp_path):
    data, learn = numbers(tmp_path / "x.safetensors", 12), numbers(tmp_path / "c.safetensors", 200)
    outcome = torchport.deploy(
        Wide().eval(),
        tmp_path / "w.tport",
        data=data,
        calibration=learn,
        targets=["onnx"],
        recipes=["fp32", "prune@0.5", "prune@0.5+distil@8"],
        keep="all",
        budget="accuracy>=1%",
    )
    rows = {c.recipe: c for c in outcome.choice.candidates}
    assert rows["prune@0.5"].size_bytes < 0.6 * rows["fp32"].size_bytes
    assert rows["prune@0.5+distil@8"].size_bytes == pytest.approx(rows["prune@0.5"].size_bytes, rel=0.01)
    x = {"x": np.random.default_rng(1).standard_normal((40, 64)).astype(np.float32)}

    def far(variant: str) -> float:
        with (
            torchport.load(outcome.bundle, variant=variant) as one,
            torchport.load(outcome.bundle, variant="onnx-fp32") as known,
        ):
            answers = [np.asarray(next(iter(p.predict(save(x))["outputs"].values()))) for p in (one, known)]
        return float(np.abs(answers[0] - answers[1]).mean())

    assert far("onnx-prune@0.5+distil@8") < far("onnx-prune@0.5")
