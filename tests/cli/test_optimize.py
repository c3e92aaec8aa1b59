"""`torchport optimize`, as typed: what `deploy` makes, and the recipes that it leaves out, searched for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from command import torchport
from safetensors.numpy import save_file

WIDE = """
import torch

def wide():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 8)).eval()
"""


def test_recipes_are_searched_for_inside_the_budget(tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(WIDE)
    save_file(
        {"input": np.random.default_rng(0).standard_normal((24, 64)).astype(np.float32)},
        str(tmp_path / "x.safetensors"),
    )
    asked = (
        "wide.py:wide",
        "--task",
        "tensor",
        "--data",
        "x.safetensors",
        "--targets",
        "onnx",
        "--budget",
        "accuracy>=90%",
        "--prefer",
        "size",
        "--quick",
    )
    found = torchport("optimize", *asked, "-o", "small.tport", cwd=tmp_path)
    assert found.code == 0, found.err
    rows = {row["id"]: row for row in found.out["candidates"]}
    assert {"onnx-fp32", "onnx-int8_weights", "onnx-int8_dynamic", "onnx-int4_weights"} <= set(rows), (
        "what learns from data has none to learn from"
    )
    assert rows[found.out["chosen"]]["size_bytes"] < 0.45 * rows["onnx-fp32"]["size_bytes"]
    assert torchport("verify", "small.tport", cwd=tmp_path).code == 0
    named = torchport("optimize", *asked, "--recipes", "int8_weights", "-o", "named.tport", cwd=tmp_path)
    assert named.code == 0, named.err
    assert {row["recipe"] for row in named.out["candidates"] if row["target"] == "onnx"} == {"int8_weights"}
