"""The toys are right about themselves: eager PyTorch gives the answers that they work out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchport.frontend.program import flatten_outputs
from torchport.testing.toys import EXAMPLE, OTHER, TOYS, Toy


@pytest.mark.parametrize("toy", TOYS.values(), ids=lambda toy: toy.name)
@pytest.mark.parametrize("sizes", [EXAMPLE, OTHER], ids=["example", "other"])
def test_eager_gives_the_worked_out_answer(toy: Toy, sizes: dict[str, int]) -> None:
    feed = toy.feed(sizes)
    got = flatten_outputs(toy.module()(*(torch.from_numpy(array) for array in feed.values())))
    wanted = toy.expected(feed)
    assert list(got) == list(wanted)
    for name, tensor in got.items():
        np.testing.assert_allclose(tensor.numpy(), wanted[name], atol=1e-6)


@pytest.mark.parametrize("toy", TOYS.values(), ids=lambda toy: toy.name)
def test_feeds_are_seeded_and_modules_always_the_same(toy: Toy) -> None:
    first, second, other = toy.feed(), toy.feed(), toy.feed(seed=1)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)
    assert all(
        torch.equal(a, b)
        for a, b in zip(toy.module().state_dict().values(), toy.module().state_dict().values(), strict=True)
    )
