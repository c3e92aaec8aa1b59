"""How a tensor is spelled for a runtime, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchport.errors import BadInput, RunError
from torchport.feed import length
from torchport.targets.shared.adapt import from_native, greatest_batch, to_native
from torchport.types import FixedBatch, TensorIO, TensorSpec

SIZES = (4, 8, 16)


def spec(*shape: int | str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name="x", dtype=dtype, shape=shape)


@given(st.integers(1, 16), st.integers(1, 16), st.integers(1, 4), st.booleans())
def test_what_is_padded_on_two_axes_comes_back_as_it_was(height: int, width: int, batch: int, turned: bool) -> None:
    one = spec("batch", 3, "height", "width")
    layout = (0, 2, 3, 1) if turned else None
    io = TensorIO(
        name="x",
        dtype="float32",
        layout=layout,
        batch=FixedBatch(fixed=(1, 4)),
        sizes={2: SIZES, 3: SIZES},
        pad=-1.0,
    )
    array = np.random.default_rng(0).standard_normal((batch, 3, height, width)).astype(np.float32)
    native = to_native(one, io, array)
    shape = native.shape if not turned else tuple(native.shape[axis] for axis in (0, 3, 1, 2))
    assert shape[0] in (1, 4) and set(shape[2:]) <= set(SIZES)
    back = from_native(one, io, native, {"batch": batch, "height": height, "width": width})
    assert np.array_equal(back, array)
    whole = native if not turned else native.transpose(0, 3, 1, 2)
    assert (whole[:, :, height:] == -1).all() and (whole[:, :, :, width:] == -1).all()


def test_a_dropped_batch_is_not_there_and_comes_back() -> None:
    one, io = spec("batch", "length", 2), TensorIO(name="x", dtype="float32", layout=(0, 2, 1), batch="dropped")
    array = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    native = to_native(one, io, array)
    assert native.shape == (2, 3)
    assert np.array_equal(from_native(one, io, native, {"batch": 1, "length": 3}), array)
    assert greatest_batch([one], {"x": io}) == 1


def test_what_is_longer_than_every_size_is_refused_with_the_sizes() -> None:
    io = TensorIO(name="x", dtype="float32", sizes={0: SIZES})
    with pytest.raises(BadInput, match=r"'x' is \[17\], this artefact takes at most \[16\]; axis 0 takes 4, 8, 16"):
        to_native(spec("length"), io, np.zeros(17, np.float32))


def test_an_output_of_a_derived_length_is_cut_to_it() -> None:
    io = TensorIO(name="x", dtype="float32", sizes={0: (8,)})
    cut = from_native(spec("(length - 1)//2 + 1"), io, np.arange(8, dtype=np.float32), {"length": 9})
    assert cut.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(RunError, match="cannot be cut back"):
        from_native(spec("sqrt(length)"), io, np.zeros(8, np.float32), {"length": 9})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (7, 7),
        ("length", 10),
        ("2*length - 1", 19),
        ("(length + width)//3 + 1", 6),
        ("Mod(length, 4)", 2),
        ("Max(length, width)", 10),
        ("-width + length", 4),
        ("other", None),
        ("length**width", None),
        ("__import__('os')", None),
        ("length.real", None),
        ("1//0", None),
        ("((", None),
        ("(" * 5000, None),
    ],
)
def test_a_length_is_a_number_a_name_or_an_expression_and_nothing_else(text: str | int, value: int | None) -> None:
    assert length(text, {"length": 10, "width": 6}) == value
