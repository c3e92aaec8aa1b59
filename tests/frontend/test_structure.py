"""Inputs by name, by keyword, and in the dicts, lists and classes that forward takes."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from torchport.errors import BadInput
from torchport.frontend.binding import bind
from torchport.frontend.ladder import capture_graph


def feed(*names: str) -> dict[str, np.ndarray]:
    return {name: np.random.default_rng(i).standard_normal((2, 4)).astype(np.float32) for i, name in enumerate(names)}


class Keywords(nn.Module):
    def forward(self, **kwargs: torch.Tensor) -> torch.Tensor:
        return kwargs["x"] + 2 * kwargs["y"]


class Mixed(nn.Module):
    def forward(self, x: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
        return x + 2 * more["y"]


class OneDict(nn.Module):
    def forward(self, batch):  # type: ignore[no-untyped-def]
        return batch["x"] + 2 * batch["y"]


class TypedDict(nn.Module):
    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return batch["x"] + 2 * batch["y"]


@dataclasses.dataclass
class Batch:
    x: torch.Tensor
    y: torch.Tensor
    scale: float = 2.0


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


class OneClass(nn.Module):
    def forward(self, batch: Batch) -> torch.Tensor:
        return batch.x + batch.scale * batch.y


class OneTuple(nn.Module):
    def forward(self, batch: Pair | None) -> torch.Tensor:
        assert batch is not None
        x, y = batch
        return x + 2 * y


class Lists(nn.Module):
    def forward(self, feats: list[torch.Tensor], mask: torch.Tensor | None = None) -> torch.Tensor:
        return feats[0] + 2 * feats[1] + (0 if mask is None else mask)


class Nested(nn.Module):
    def forward(self, batch: Any) -> torch.Tensor:
        return batch["text"]["x"] + 2 * batch["images"][0]


X, Y = (torch.from_numpy(array) for array in feed("x", "y").values())


@pytest.mark.parametrize("model", [Keywords(), Mixed(), OneDict(), TypedDict(), OneClass(), OneTuple()])
def test_the_names_of_keywords_keys_and_fields_are_input_names(model: nn.Module) -> None:
    graph = capture_graph("model", model.eval(), feed("x", "y"))
    assert [spec.name for spec in graph.signature.inputs] == ["x", "y"]
    assert graph.exported is not None
    assert graph.signature.inputs[0].shape == ("batch", 4)
    torch.testing.assert_close(graph.exported.module()(X, Y), X + 2 * Y)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (OneDict(), ["batch.x", "batch.y"]),
        (OneClass(), ["batch.x", "batch.y"]),
        (Lists(), ["feats.0", "feats.1"]),
        (Nested(), ["batch.text.x", "batch.images.0"]),
    ],
)
def test_parts_of_an_argument_are_named_with_dots(model: nn.Module, names: list[str]) -> None:
    graph = capture_graph("model", model.eval(), feed(*names))
    assert [spec.name for spec in graph.signature.inputs] == names
    assert graph.exported is not None
    torch.testing.assert_close(graph.exported.module()(X, Y), X + 2 * Y)


def test_numbered_parts_stand_in_their_order_whatever_the_files() -> None:
    given = dict(zip(("feats.1", "feats.0", "mask"), feed("y", "x", "m").values(), strict=True))
    call = bind(Lists(), given)
    assert list(call.feed) == ["feats.0", "feats.1", "mask"]


def test_names_that_fit_nothing_say_how_to_name_them() -> None:
    with pytest.raises(
        BadInput,
        match=r"there is an input 'x', forward takes feats, mask; .*'feats' is given in parts where it is a dict or "
        r"list: feats\.0, feats\.1",
    ):
        bind(Lists(), feed("x", "y"))
    with pytest.raises(BadInput, match="there is an input 'z', forward takes input"):
        bind(nn.Linear(4, 4), feed("z"))
    with pytest.raises(BadInput, match="forward needs 'x'"):
        bind(Mixed(), feed("y"))
