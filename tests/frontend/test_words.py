"""What torch says of a model that it does not capture, in words for whoever wrote it."""

from __future__ import annotations

import pytest
import torch

from torchport.frontend.words import only_scripted, plain, reasons


class Drawn(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator()
        generator.manual_seed(3)
        return x + torch.rand(x.shape, generator=generator)


def test_a_generator_made_in_forward_is_named_with_what_to_do() -> None:
    with pytest.raises(Exception, match="Generator") as caught:
        torch.export.export(Drawn(), (torch.zeros(2, 3),), strict=True)
    assert plain(caught.value) == "a torch.Generator is no tensor that a graph can carry"
    what, hint = only_scripted({"strict": plain(caught.value)}, RuntimeError("prim::Constant"))
    assert "torch.Generator" in what and hint == "draw the numbers once, in __init__, into a buffer"


def test_a_note_about_the_batch_is_no_reason_why_a_capture_failed() -> None:
    assert reasons({"strict": "a", "non-strict": "a", "batch": "items are answered one at a time"}) == (
        "strict, non-strict: a"
    )
