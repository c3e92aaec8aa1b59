"""`--input` texts and the examples made from them."""

from __future__ import annotations

import numpy as np
import pytest

from torchport.capture.inputs import made_up, parse
from torchport.errors import UsageError


def test_every_part_of_a_text() -> None:
    specs = parse(["x:float32[batch,10]", "ids : int64[ batch<=8 , length<=4]", "flag:bool[]"])
    assert [(s.name, s.dtype, s.shape) for s in specs.tensors] == [("x", "float32", ("batch", 10)), ("ids", "int64", ("batch", "length")), ("flag", "bool", ())]
    assert specs.dims == {"x": {0: "batch"}, "ids": {0: "batch", 1: "length"}, "flag": {}}
    assert specs.bounds == {"batch": (1, 8), "length": (1, 4)}


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
    [["x"], ["x:float32"], ["x:float32[batch,10"], ["x:float33[1]"], ["x:float32[0]"], ["x:float32[-1]"], ["x:float32[n<=0]"], ["x:float32[n>=3]"], ["x:float32[a,,b]"], ["1x:float32[2]"]],
)
def test_what_cannot_be_read_is_quoted(texts: list[str]) -> None:
    with pytest.raises(UsageError, match=r"\[") as caught:
        parse(texts)
    assert caught.value.hint


def test_contradictions() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse(["x:float32[2]", "x:float32[3]"])
    with pytest.raises(UsageError, match="bounded by 4 and by 8"):
        parse(["x:float32[n<=4]", "y:float32[n<=8]"])
