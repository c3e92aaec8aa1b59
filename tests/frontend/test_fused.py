"""A transformer that torch's fused path answers differently is refused, with the line that says which path is meant."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from torchport.errors import CaptureError
from torchport.frontend.fused import refuse_two_answers

RNG = np.random.default_rng(0)
FEED = {"x": RNG.standard_normal((2, 6, 16)).astype(np.float32), "mask": np.zeros((2, 6), bool)}


class Encoder(nn.Module):
    """Hidden states of every position, padded ones too."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.layers(x, src_key_padding_mask=mask)


class Pooled(Encoder):
    """The mean over the positions that are there, and zeros where none is."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        kept = (~mask)[:, :, None]
        hidden = torch.nan_to_num(super().forward(x, mask)) if x.shape[1] == mask.shape[1] else x
        return (torch.where(kept, hidden, 0.0)).sum(1) / kept.sum(1).clamp(min=1)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, key_padding_mask=mask, need_weights=False)[0]


class Unmasked(Encoder):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", [Encoder, Attention])
def test_two_answers_to_a_mask_are_refused(module: type[nn.Module]) -> None:
    with pytest.raises(
        CaptureError, match=r"answers this model in two ways where .* 'mask' is .*set_fastpath_enabled\(False\)"
    ):
        refuse_two_answers(module().eval(), FEED)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", [Encoder, Attention])
def test_whoever_switches_the_fused_path_off_means_the_plain_one(module: type[nn.Module]) -> None:
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        refuse_two_answers(module().eval(), FEED)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


@pytest.mark.filterwarnings("ignore")
def test_one_answer_is_taken() -> None:
    refuse_two_answers(Unmasked().eval(), {"x": FEED["x"]})
    refuse_two_answers(nn.Linear(16, 3), {"input": FEED["x"]})
    refuse_two_answers(Pooled().eval(), FEED)
