"""The tensor task: what a person may hand over as tensors, and what they get back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save, save_file

from torchport.errors import BadInput, RunError
from torchport.tasks.tensor import TensorTask, read_tensors
from torchport.types import Signature, TensorSpec

TASK = TensorTask()
MODEL = Signature(
    inputs=(
        TensorSpec(name="x", dtype="float32", shape=("batch", 2)),
        TensorSpec(name="ids", dtype="int64", shape=("batch",)),
    ),
    outputs=(TensorSpec(name="output_0", dtype="float32", shape=("batch", 2)),),
)
X = np.arange(6, dtype=np.float32).reshape(3, 2)
IDS = np.arange(3)


def test_rows_are_items_and_come_back_as_they_were(tmp_path: Path) -> None:
    save_file({"x": X, "ids": IDS}, str(tmp_path / "data.safetensors"))
    items = TASK.items(tmp_path / "data.safetensors", TASK.facts())
    assert len(items) == 3
    feed = TASK.feed(items, {}, ["x", "ids"])
    assert (feed["x"] == X).all() and (feed["ids"] == IDS).all() and feed["ids"].dtype == np.int64


def test_npy_and_json_name_the_only_input(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", X)
    (tmp_path / "data.json").write_text(json.dumps(X.tolist()))
    for name in ("data.npy", "data.json"):
        feed = TASK.feed(TASK.items(tmp_path / name, TASK.facts()), TASK.facts(), ["x"])
        assert (feed["x"] == X).all() and feed["x"].dtype == np.float32


def test_json_takes_the_models_dtypes() -> None:
    facts = TASK.bind(TASK.facts(), MODEL)
    made = TASK.host["decode"]({"raw": b'{"x": [[1, 2]], "ids": [7]}'}, facts)
    assert made["x"].dtype == np.float32 and made["ids"].dtype == np.int64


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), elements=st.floats(-1e6, 1e6, width=32)
    )
)
def test_three_formats_read_alike(array: np.ndarray) -> None:
    import io

    npy = io.BytesIO()
    np.save(npy, array)
    for raw in (save({"x": array}), npy.getvalue(), json.dumps({"x": array.tolist()}).encode()):
        read = read_tensors(raw, {"x": "float32"}, "here")["x"]
        assert read.shape == array.shape and (read == array).all()


@pytest.mark.parametrize(
    "raw", [b"", b"\x00" * 50, b"{", b'{"x": [[1], [2, 3]]}', b'{"x": "text"}', b'{"x": null}', b"\x93NUMPY garbage"]
)
def test_what_is_no_tensor_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput):
        read_tensors(raw, {"x": "float32"}, "here")


def test_a_pickle_in_npy_is_never_opened() -> None:
    import io

    raw = io.BytesIO()
    np.save(raw, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput):
        read_tensors(raw.getvalue(), None, "here")


def test_wrong_names_are_named() -> None:
    with pytest.raises(BadInput, match=r"\['y'\].*\['ids', 'x'\]"):
        TASK.host["decode"]({"raw": save({"y": X})}, TASK.bind(TASK.facts(), MODEL))


def test_uneven_rows_and_no_file(tmp_path: Path) -> None:
    save_file({"x": X, "ids": IDS[:2]}, str(tmp_path / "data.safetensors"))
    with pytest.raises(BadInput, match="first axis"):
        TASK.items(tmp_path / "data.safetensors", TASK.facts())
    with pytest.raises(BadInput, match=r"nothing\.npy"):
        TASK.items(tmp_path / "nothing.npy", TASK.facts())


def test_nan_is_not_an_answer() -> None:
    with pytest.raises(RunError, match="output_0"):
        TASK.host["present"]({"output_0": np.array([np.nan], np.float32)}, {})


def test_agreement_is_the_same_class_or_the_same_numbers() -> None:
    def result(*rows: object) -> dict[str, object]:
        return {"outputs": {"output_0": list(rows)}}

    assert TASK.agree(result([1.0, 2.0]), result([1.1, 5.0]))
    assert not TASK.agree(result([3.0, 2.0]), result([1.1, 5.0]))
    assert TASK.agree(result(1.0, 2.0), result(1.0, 2.001)) and not TASK.agree(result(1.0, 2.0), result(1.0, 2.2))
    assert not TASK.agree(result(1, 2), result(1, 3))


def test_an_answer_in_words_is_numbers_not_json():
    small = {"outputs": {"scores": [[0.12133997678756714, 0.012506]], "kept": [[True]]}}
    assert TASK.words(small) == "scores: 0.1213 0.01251; kept: True"
    assert TASK.lines({"outputs": {"mask": np.arange(24).reshape(1, 4, 6).tolist()}}) == [
        "mask: [1, 4, 6] 0 1 2 3 4 5 6 7 ..."
    ]


def test_a_model_that_takes_three_rows_at_once_gets_three_rows_an_item(tmp_path: Path) -> None:
    rows = np.arange(14, dtype=np.float32).reshape(7, 2)
    save_file({"x": rows}, str(tmp_path / "data.safetensors"))
    three = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=(3, 2)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=(3,)),),
    )
    found = TASK.settle(
        tmp_path / "data.safetensors", TASK.items(tmp_path / "data.safetensors", TASK.facts()), TASK.facts(), three
    )
    assert [TASK.feed([item], {}, ["x"])["x"].tolist() for item in found.items] == [
        rows[:3].tolist(),
        rows[3:6].tolist(),
    ]
    assert "takes 3 rows at once" in found.warnings[0] and "last 1 are left out" in found.warnings[0]
    few = Signature(inputs=(TensorSpec(name="x", dtype="float32", shape=(8, 2)),), outputs=three.outputs)
    with pytest.raises(BadInput, match="takes 8 rows at once, and there are 7"):
        TASK.settle(
            tmp_path / "data.safetensors", TASK.items(tmp_path / "data.safetensors", TASK.facts()), TASK.facts(), few
        )
