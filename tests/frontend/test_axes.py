"""Which axes of real tensors are free: what `--input` says beside `--data`, and what items of several sizes show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from torchport.api import capture
from torchport.errors import BadInput, TorchportError, UsageError
from torchport.types import Bound


class Rows(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Masked(torch.nn.Module):
    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (ids * mask).float().mean(1, keepdim=True)


class Unbatched(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.cumsum(0) @ torch.ones(4, 2)


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def shape_of(module: torch.nn.Module, data: Path, *inputs: str) -> tuple[list[tuple[int | str, ...]], dict[str, Bound]]:
    signature = capture(module, task="tensor", data=data, inputs=inputs).graphs["model"]
    return [spec.shape for spec in signature.inputs], signature.dims


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file({"x": floats(6, 4, 20)}, tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "items").mkdir()
    for i, (rows, size) in enumerate([(1, 20), (2, 33), (1, 7)]):
        save_file({"x": floats(rows, 4, size)}, tmp_path / "items" / f"{i}.safetensors")
    return tmp_path / "items"


def test_only_the_batch_is_free_where_items_are_alike(file: Path) -> None:
    assert shape_of(Rows(), file) == ([("batch", 4, 20)], {"batch": Bound()})


def test_input_beside_data_says_which_axes_are_free(file: Path) -> None:
    assert shape_of(Rows(), file, "x:float32[batch,4,time=4..400/4]") == (
        [("batch", 4, "time")],
        {"batch": Bound(), "time": Bound(min=4, max=400, multiple=4)},
    )


def test_input_beside_data_can_fix_the_batch(file: Path) -> None:
    assert shape_of(Rows(), file, "x:float32[1,4,time]")[0] == [(1, 4, "time")]


def test_a_model_without_a_batch_takes_its_items_without_one(file: Path) -> None:
    assembled = capture(Unbatched(), task="tensor", data=_transposed(file), inputs=["x:float32[time,4]"])
    assert [spec.shape for spec in assembled.graphs["model"].inputs] == [("time", 4)]
    assert assembled.program.graphs["model"].examples["x"].shape == (20, 4)
    assert assembled.task.feed(assembled.items[:1], assembled.facts, None)["x"].shape == (20, 4)


def _transposed(file: Path) -> Path:
    save_file({"x": floats(6, 20, 4)}, file)
    return file


def test_a_folder_of_several_sizes_leaves_the_differing_axis_free(folder: Path) -> None:
    assembled = capture(Rows(), task="tensor", data=folder)
    assert [spec.shape for spec in assembled.graphs["model"].inputs] == [("batch", 4, "x_2")]
    assert [item.name for item in assembled.items] == [
        "0.safetensors[0]",
        "1.safetensors[0]",
        "1.safetensors[1]",
        "2.safetensors[0]",
    ]


def test_axes_that_differ_together_are_one_dimension(tmp_path: Path) -> None:
    for size in (5, 9):
        save_file(
            {"ids": np.ones((1, size), np.int64), "mask": np.ones((1, size), np.int64)},
            tmp_path / f"{size}.safetensors",
        )
    ids, mask = shape_of(Masked(), tmp_path)[0]
    assert ids == mask and isinstance(ids[1], str)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("x:float32[batch,5,time]", BadInput, "axis 1 of 'x' is 4, --input says 5"),
        ("x:float32[batch,4,time<=10]", BadInput, r"is 20, --input says time=1\.\.10"),
        ("x:float32[batch,4,time=8..64/8]", BadInput, r"is 20, --input says time=8\.\.64/8"),
        ("x:float32[batch,n,n]", BadInput, "n, which is 4 elsewhere"),
        ("x:int64[batch,4,time]", BadInput, r"an item of the data holds x:float32\[1,4,20\]"),
        ("x:float32[4]", BadInput, "counts its items"),
        ("y:float32[batch,4,time]", BadInput, "--input names 'y'"),
    ],
)
def test_input_that_the_data_denies_is_told(file: Path, text: str, error: type[TorchportError], words: str) -> None:
    with pytest.raises(error, match=words):
        shape_of(Rows(), file, text)


def test_input_has_to_name_each_tensor_of_the_data(tmp_path: Path) -> None:
    save_file({"ids": np.ones((4, 5), np.int64), "mask": np.ones((4, 5), np.int64)}, tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match="says nothing of 'mask'"):
        shape_of(Masked(), tmp_path / "x.safetensors", "ids:int64[batch,length]")


def test_items_of_different_kinds_are_told(folder: Path) -> None:
    save_file({"x": floats(1, 4)}, folder / "z.safetensors")
    with pytest.raises(BadInput, match=r"z.safetensors\[0\] holds x:float32\[1,4\], 0.safetensors\[0\] holds"):
        shape_of(Rows(), folder)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no \.safetensors"):
        shape_of(Rows(), tmp_path)


def test_input_is_refused_where_the_task_reads_no_tensors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--input says nothing to image-classification"):
        capture(Rows(), task="image-classification", data=tmp_path, inputs=["x:float32[batch,3,8,8]"])
