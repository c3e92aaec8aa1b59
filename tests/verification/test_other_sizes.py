"""An artefact that is right on the data only is refused: at sizes that no item has, on edge values, and on items beyond
the first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.nn import functional as F

from torchport import api
from torchport.deployment import explore
from torchport.deployment.request import Request
from torchport.errors import ParityError
from torchport.frontend import decompositions
from torchport.types import Candidate


class Pooled(torch.nn.Module):
    """PyTorch's exporter writes the windows of these pools with the example's size in them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x, (3, 5)).flatten(1)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's exporter as it is, without what stands for the operators that it errs in."""
    monkeypatch.setattr(decompositions, "FOR_ONNX", {})


def rows(request: Request, folder: Path) -> dict[str, Candidate]:
    return {
        one.id: one
        for one in explore.explore(request, folder / "out", folder / "log", lambda stage, detail: None).candidates
    }


@pytest.mark.usefixtures("exporter")
def test_a_size_that_was_baked_in_is_refused_and_named(tmp_path: Path) -> None:
    found = rows(
        Request(
            Pooled(),
            tmp_path / "x.tport",
            task="tensor",
            inputs=["x:float32[batch,3,height,width]"],
            targets=["onnx", "pt2"],
            recipes=["fp32"],
        ),
        tmp_path,
    )
    assert found["pt2-fp32"].status == "ok"
    onnx = found["onnx-fp32"]
    assert onnx.status == "failed" and onnx.parity is not None and onnx.parity.stage == "sizes"
    assert (
        "output_0" in (onnx.reason or "")
        and "where height is" in (onnx.reason or "")
        and "captured at 12" in (onnx.reason or "")
    )


class Captured(torch.nn.Module):
    """Right at the height that it is captured at, in any target."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((2, 3))
        return mean if torch.compiler.is_exporting() else mean * (1 + (x.shape[2] != 12))


def test_nothing_is_written_where_no_target_is_right_at_other_sizes(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"sizes: .*where height is .* --input"):
        api.deploy(
            Captured(),
            tmp_path / "x.tport",
            task="tensor",
            inputs=["x:float32[batch,3,height,width]"],
            targets=["pt2"],
            recipes=["fp32"],
            profile="server",
        )
    assert not (tmp_path / "x.tport").exists()


class Late(torch.nn.Module):
    """Answers otherwise in eager mode near seven: what an artefact that is wrong on one item looks like."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_exporting():
            return x * 2
        return torch.where((x - 7).abs() < 0.2, x * 2.01, x * 2)


def test_an_item_beyond_the_first_that_differs_is_named_with_its_error(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
    x[10] = 7
    save_file({"x": x}, tmp_path / "x.safetensors")
    with pytest.raises(ParityError, match=r"every item: output_0: max_rel 5.0e-03 on x.safetensors\[10\], allowed"):
        rows(
            Request(
                Late(),
                tmp_path / "x.tport",
                task="tensor",
                data=tmp_path / "x.safetensors",
                targets=["pt2"],
                recipes=["fp32"],
            ),
            tmp_path,
        )
