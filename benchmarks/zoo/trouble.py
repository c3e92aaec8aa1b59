"""Small modules by hand, each with one thing that exporters stumble over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from architecture import BATCHES, LENGTHS, Architecture, any_picture, areas
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody calls it so

ROWS = ("x:float32[batch,time,8]",)
SOUND = ("x:float32[batch,time=512..2048]",)
SOUNDS = ({"batch": 1, "time": 700}, {"batch": 3, "time": 1025})


class Recurrent(nn.Module):
    """Two layers in both directions, and the last state."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cells = kind(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x)[0]).log_softmax(-1)  # type: ignore[no-any-return]


class TwoInputs(nn.Module):
    """A picture and a row of numbers, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv2d(3, 4, 3)
        self.know = nn.Linear(5, 4)

    def forward(self, picture: Tensor, row: Tensor) -> Tensor:
        return self.see(picture).mean((2, 3)) * self.know(row).sigmoid()  # type: ignore[no-any-return]


class DictOut(nn.Module):
    """Answers under names."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        seen = self.body(x).relu()
        return {"scores": seen.softmax(-1), "length": seen.norm(dim=-1)}


class Branch(nn.Module):
    """Another way where the numbers are great."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.great = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.abs().mean() > 10, self.great.forward, self.small.forward, (x,))  # type: ignore[no-any-return]


class Spectrum(nn.Module):
    """A short-time Fourier transform inside the network."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(128))
        self.head = nn.Linear(65, 4)

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.window, Tensor)
        found = torch.stft(x, 128, 64, window=self.window, return_complex=True).abs()
        return self.head(found.transpose(1, 2).log1p())  # type: ignore[no-any-return]


class Best(nn.Module):
    """The places of the highest scores, and what lies there."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.value = nn.Linear(8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        best, where = self.score(x).squeeze(-1).topk(3)
        return best, self.value(x).gather(1, where[..., None].expand(-1, -1, 4))


class Spatial(nn.Module):
    """A picture turned and moved by what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(3, 4, 7), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6))

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(self.look(x).view(-1, 2, 3), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)


class Masked(nn.Module):
    """Attention that leaves out what a mask says."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        keep = mask.clone()
        keep[:, 0] = True
        return self.attend(x, x, x, key_padding_mask=~keep, need_weights=False)[0]  # type: ignore[no-any-return]


class Scatter(nn.Module):
    """Rows added up by group."""

    def forward(self, x: Tensor, group: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0], 8, 8).scatter_add(1, group[..., None].expand(-1, -1, 8), x)


class Graph(nn.Module):
    """Messages along the edges of a graph; no axis is a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(8, 8), nn.Linear(16, 4)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        sent = self.message(nodes)[edges[0] % nodes.shape[0]].relu()
        heard = torch.zeros_like(nodes).index_add(0, edges[1] % nodes.shape[0], sent)
        return self.update(torch.cat([nodes, heard], 1))  # type: ignore[no-any-return]


class Embeddings(nn.Module):
    """Rows of a table, summed up."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(30, 8, mode="mean")
        self.one = nn.Embedding(30, 8, padding_idx=0)

    def forward(self, ids: Tensor) -> Tensor:
        return self.bag(ids) + self.one(ids[:, 0])  # type: ignore[no-any-return]


class InPlace(nn.Module):
    """Values written into a tensor that is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        found = self.body(x)
        found[..., 2:5] += x[..., :3]
        found[..., 0] = 1.5
        return found.clamp_(-2, 2).mul_(3)  # type: ignore[no-any-return]


class Counted(nn.Module):
    """A buffer that forward updates, and that no answer depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.calls, Tensor)
        self.calls += 1
        return self.body(x).tanh()  # type: ignore[no-any-return]


class Tied(nn.Module):
    """One weight in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 8)
        self.head = nn.Linear(8, 30, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.table(ids).cumsum(1))  # type: ignore[no-any-return]


class Normed(nn.Module):
    """Weights that are computed from others."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.utils.parametrizations.weight_norm(nn.Conv1d(8, 8, 3, padding="same"))
        self.two = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x.transpose(1, 2)).transpose(1, 2))  # type: ignore[no-any-return]


class _Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * (x.sigmoid() * (1 + x * (1 - x.sigmoid())))


class Custom(nn.Module):
    """An autograd function of its author's."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return _Swish.apply(self.body(x))  # type: ignore[no-any-return]


class Shuffled(nn.Module):
    """Pixels to channels and back, with windows cut out and laid over each other."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(12, 12, 3, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        found = F.pixel_shuffle(self.body(F.pixel_unshuffle(x, 2)), 2)
        return F.fold(F.unfold(found, 4, stride=4), found.shape[2:], 4, stride=4)


class Contracted(nn.Module):
    """Sums over named axes, triangles, and running sums."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 8, 4) / 3)

    def forward(self, x: Tensor) -> Tensor:
        heads = torch.einsum("btc,hcd->bhtd", x, self.weight)
        scores = torch.einsum("bhtd,bhsd->bhts", heads, heads)
        return scores.tril() @ heads.cumsum(2)  # type: ignore[no-any-return]


class Rotated(nn.Module):
    """Positions turned into angles by complex numbers."""

    def forward(self, x: Tensor) -> Tensor:
        angles = torch.arange(x.shape[1], dtype=torch.float32)[:, None] / torch.tensor([1.0, 3.0, 10.0, 30.0])
        turned = torch.view_as_complex(x.reshape(*x.shape[:2], 4, 2)) * torch.polar(torch.ones_like(angles), angles)
        return torch.view_as_real(turned).flatten(2)


class Negated(nn.Module):
    """A number less an integer tensor."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x + ((1.0 - mask) * -1e4)[..., None]


TROUBLE: Mapping[str, Architecture] = {
    "gru": Architecture("by hand", lambda: Recurrent(nn.GRU), ROWS, LENGTHS),
    "lstm": Architecture("by hand", lambda: Recurrent(nn.LSTM), ROWS, LENGTHS),
    "two_inputs": Architecture(
        "by hand", TwoInputs, ("picture:float32[batch,3,16,16]", "row:float32[batch,5]"), BATCHES
    ),
    "dict_out": Architecture("by hand", DictOut, ("x:float32[batch,8]",), BATCHES),
    "control_flow": Architecture("by hand", Branch, ("x:float32[batch,8]",), BATCHES),
    "stft": Architecture("by hand", Spectrum, SOUND, SOUNDS),
    "top_k_gather": Architecture("by hand", Best, ROWS, LENGTHS),
    "spatial_transformer": Architecture("by hand", Spatial, any_picture(8), areas(8)),
    "masked_attention": Architecture("by hand", Masked, (*ROWS, "mask:bool[batch,time]"), LENGTHS),
    "scatter": Architecture("by hand", Scatter, (*ROWS, "group:int64[batch,time]"), LENGTHS),
    "graph": Architecture(
        "by hand",
        Graph,
        ("nodes:float32[nodes,8]", "edges:int64[2,edges]"),
        ({"nodes": 5, "edges": 9}, {"nodes": 17, "edges": 40}),
    ),
    "embeddings": Architecture("by hand", Embeddings, ("ids:int64[batch,time]",), LENGTHS),
    "in_place": Architecture("by hand", InPlace, ROWS, LENGTHS),
    "buffer_updated": Architecture("by hand", Counted, ("x:float32[batch,8]",), BATCHES),
    "tied": Architecture("by hand", Tied, ("ids:int64[batch,time]",), LENGTHS),
    "weight_norm": Architecture("by hand", Normed, ROWS, LENGTHS),
    "autograd_function": Architecture("by hand", Custom, ("x:float32[batch,8]",), BATCHES),
    "pixels_shuffled": Architecture("by hand", Shuffled, any_picture(8), areas(8)),
    "einsum_cumsum_tril": Architecture("by hand", Contracted, ROWS, LENGTHS),
    "complex": Architecture("by hand", Rotated, ROWS, LENGTHS),
    "scalar_minus_integers": Architecture("by hand", Negated, (*ROWS, "mask:int64[batch,time]"), LENGTHS),
    "dropout_in_train_mode": Architecture(
        "by hand",
        lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4)),
        ("input:float32[batch,8]",),
        BATCHES,
        train=True,
    ),
}
