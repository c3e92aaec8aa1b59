"""`--input` texts and the examples made from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchport.errors import UsageError
from torchport.frontend.inputs import made_up, parse
from torchport.types import Bound


def test_every_part_of_a_text() -> None:
    specs = parse(["x:float32[batch,10]", "ids : int64[ batch<=8 , length<=4]", "flag:bool[]"])
    assert [(s.name, s.dtype, s.shape) for s in specs.tensors] == [
        ("x", "float32", ("batch", 10)),
        ("ids", "int64", ("batch", "length")),
        ("flag", "bool", ()),
    ]
    assert specs.dims == {"x": {0: "batch"}, "ids": {0: "batch", 1: "length"}, "flag": {}}
    assert specs.bounds == {"batch": Bound(max=8), "length": Bound(max=4)}


def test_a_range_says_a_minimum_and_a_multiple() -> None:
    specs = parse(["x:float32[batch,3, 32..1024/32 ,width = 8..]", "y:float32[batch,width]"])
    assert [spec.shape for spec in specs.tensors] == [("batch", 3, "x_2", "width"), ("batch", "width")]
    assert specs.bounds == {"x_2": Bound(min=32, max=1024, multiple=32), "width": Bound(min=8)}
    feed = made_up(specs)
    assert feed["x"].shape[2] % 32 == 0 and feed["x"].shape[2] >= 32
    assert feed["x"].shape[3] == feed["y"].shape[1] >= 8


@given(st.integers(1, 300), st.integers(0, 40), st.one_of(st.none(), st.integers(0, 40)), st.integers(1, 9))
def test_the_nearest_size_holds(wanted: int, first: int, more: int | None, multiple: int) -> None:
    bound = Bound(
        min=max(1, first) * multiple, max=None if more is None else (max(1, first) + more) * multiple, multiple=multiple
    )
    assert bound.holds(bound.nearest(wanted))
    assert bound.nearest(wanted) == wanted or not bound.holds(wanted)


def test_a_range_between_multiples_is_told_what_to_write() -> None:
    with pytest.raises(UsageError, match=r"write 32\.\.96/32"):
        parse(["x:float32[30..100/32]"])


def test_made_up_examples_fit_and_repeat() -> None:
    specs = parse(["x:float32[batch,10]", "ids:int64[batch,length<=4]", "mask:bool[batch,n]", "scale:float64[]"])
    feed = made_up(specs, seed=3, batch=2)
    assert {name: (array.dtype.name, array.shape) for name, array in feed.items()} == {
        "x": ("float32", (2, 10)),
        "ids": ("int64", (2, 4)),
        "mask": ("bool", (2, 12)),
        "scale": ("float64", ()),
    }
    assert feed["ids"].min() >= 0
    again, other = made_up(specs, seed=3, batch=2), made_up(specs, seed=4, batch=2)
    assert all(np.array_equal(feed[name], again[name]) for name in feed)
    assert not np.array_equal(feed["x"], other["x"])


@pytest.mark.parametrize(
    "texts",
    [
        ["x"],
        ["x:float32"],
        ["x:float32[batch,10"],
        ["x:float33[1]"],
        ["x:float32[0]"],
        ["x:float32[-1]"],
        ["x:float32[n<=0]"],
        ["x:float32[n>=3]"],
        ["x:float32[a,,b]"],
        ["1x:float32[2]"],
        ["x:float32[9..8]"],
        ["x:float32[0..8]"],
        ["x:float32[8..16/0]"],
        ["x:float32[8..16/]"],
    ],
)
def test_what_cannot_be_read_is_quoted(texts: list[str]) -> None:
    with pytest.raises(UsageError, match=r"\[") as caught:
        parse(texts)
    assert caught.value.hint


def test_contradictions() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse(["x:float32[2]", "x:float32[3]"])
    with pytest.raises(UsageError, match=r"bounded by 1\.\.4 and by 1\.\.8"):
        parse(["x:float32[n<=4]", "y:float32[n<=8]"])
