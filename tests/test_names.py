"""Names that a model gives its outputs are looked at before anything is exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from torchport.deployment.explore import capture
from torchport.deployment.request import Request
from torchport.errors import CaptureError


class Named(torch.nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {self.name: x * 2}


def asked(name: str, folder: Path) -> Request:
    return Request(Named(name).eval(), folder / "x.tport", "tensor", inputs=["x:float32[batch,3]"])


@pytest.mark.parametrize("name", ["a\nb", "`rm`", "x" * 300, '"quoted"'])
def test_a_name_that_no_bundle_may_hold_is_refused_when_the_model_is_captured(name: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"output '.*' has a name that no Bundle may hold") as caught:
        capture(asked(name, tmp_path), lambda stage, detail: None)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["scores", "größe", "a.b:c/d@1"])
def test_other_names_are_taken(name: str, tmp_path: Path) -> None:
    assert capture(asked(name, tmp_path), lambda stage, detail: None).graphs["model"].outputs[0].name == name
