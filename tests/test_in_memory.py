"""What Python hands over instead of a file: as one input, and as a data set."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from torchport.errors import BadInput, UsageError
from torchport.tasks import tasks
from torchport.tasks.in_memory import MOST_ITEMS, raw_of, written
from torchport.tasks.shared import audio, pictures
from torchport.tasks.tensor import read_tensors

TENSOR, PICTURES, SPEECH, TEXTS = (
    tasks.get(name) for name in ("tensor", "image-classification", "speech-recognition", "text-classification")
)
ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)
X = TENSOR.facts(inputs=(("x", "float32"),))


def rows_of(path: Path) -> list[dict[str, np.ndarray]]:
    """The items that the tensor task finds there."""
    return [read_tensors(item.read(), None, "") for item in TENSOR.items(path, TENSOR.facts())]


@given(hnp.arrays(st.sampled_from([np.float32, np.int64, np.uint8, np.bool_]), hnp.array_shapes(max_dims=4)))
def test_an_array_and_a_tensor_are_the_same_input(array: np.ndarray) -> None:
    for value in (array, torch.tensor(array)):
        read = read_tensors(raw_of(value, TENSOR, TENSOR.facts()), None, "")[""]
        np.testing.assert_array_equal(read, array, strict=True)


def test_numbers_take_the_dtype_of_the_model() -> None:
    for value in (
        ROWS.tolist(),
        ROWS.astype(np.float64),
        torch.tensor(ROWS, dtype=torch.bfloat16),
        torch.tensor(ROWS, requires_grad=True),
        list(torch.tensor(ROWS)),
    ):
        read = read_tensors(raw_of(value, TENSOR, X), {"x": "float32"}, "")
        assert read["x"].dtype == np.float32 and np.array_equal(read["x"], ROWS)
    assert read_tensors(raw_of({"x": ROWS.astype(np.float64)}, TENSOR, X), None, "")["x"].dtype == np.float32
    of_int64 = TENSOR.facts(inputs=(("x", "int64"),))
    assert read_tensors(raw_of({"x": [[1, 2]]}, TENSOR, of_int64), None, "")["x"].dtype == np.int64


def test_bytes_and_paths_are_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert {
        raw_of(value, TENSOR, TENSOR.facts())
        for value in (b"abc", bytearray(b"abc"), tmp_path / "x", str(tmp_path / "x"))
    } == {b"abc"}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_picture_is_read_as_the_file_it_came_from_would_be(mode: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8))
    image = Image.new(mode, (5, 7), 300) if mode == "I;16" else image.convert(mode)
    file = io.BytesIO()
    image.save(file, "TIFF")
    assert np.array_equal(pictures.decode(raw_of(image, PICTURES, PICTURES.facts())), pictures.decode(file.getvalue()))


def test_how_a_picture_is_to_be_turned_goes_along() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif.tobytes())
    opened = Image.open(file)
    assert (
        pictures.decode(raw_of(opened, PICTURES, PICTURES.facts())).shape
        == pictures.decode(file.getvalue()).shape
        == (16, 8, 3)
    )


def test_pixels_may_have_their_channels_first_or_last() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    for value in (pixels, torch.tensor(pixels), torch.tensor(pixels).permute(2, 0, 1)):
        assert np.array_equal(pictures.decode(raw_of(value, PICTURES, PICTURES.facts())), pixels)
    assert pictures.decode(raw_of(pixels[..., 0], PICTURES, PICTURES.facts())).shape == (7, 5, 3)


def test_samples_are_a_recording_at_the_rate_of_the_model() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 800).astype(np.float32)
    assert np.array_equal(audio.decode(raw_of(samples, SPEECH, SPEECH.facts(sampling_rate=16000)), 16000), samples)


@pytest.mark.parametrize(
    ("value", "task", "says"),
    [
        (np.zeros((3, 4, 5), np.float32), PICTURES, "uint8 pixels"),
        (np.zeros((2, 3, 4, 5), np.uint8), PICTURES, "channels"),
        (np.zeros(5, np.float32), TEXTS, "a path"),
        (object(), TENSOR, "a dict of them by input name"),
        ([[1.0], [1.0, 2.0]], TENSOR, "same length"),
        (["a"], TENSOR, "numbers"),
        (np.zeros(5, np.int16), SPEECH, "float samples"),
        ("no such text", TEXTS, "text.encode()"),
        (None, TENSOR, "a path"),
    ],
)
def test_what_a_task_does_not_take_is_refused_with_what_it_does(value: Any, task: Any, says: str) -> None:
    with pytest.raises(BadInput) as error:
        raw_of(value, task, {"sampling_rate": 16000})
    assert says in str(error.value)


class Dataset:
    """Only what a Dataset of PyTorch has."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.tensor(ROWS[i]), i


LOADED = TensorDataset(torch.tensor(ROWS), torch.arange(4))


@pytest.mark.parametrize(
    "data",
    [
        ROWS,
        torch.tensor(ROWS),
        ROWS.tolist(),
        list(ROWS),
        list(torch.tensor(ROWS)),
        Dataset(),
        DataLoader(LOADED, batch_size=3),
        [(row, 1) for row in ROWS],
        iter(ROWS),
    ],
    ids=["array", "tensor", "numbers", "arrays", "tensors", "Dataset", "DataLoader", "pairs", "iterator"],
)
def test_rows_of_the_only_input(data: Any, tmp_path: Path) -> None:
    found = rows_of(written(data, tmp_path, inputs=["x"]))
    assert np.array_equal(np.concatenate([row[""] for row in found]), ROWS) and found[0][""].dtype == np.float32


@pytest.mark.parametrize(
    "data",
    [
        {"a": ROWS, "b": torch.tensor(ROWS) + 1},
        [{"a": row, "b": row + 1} for row in ROWS],
        DataLoader(TensorDataset(torch.tensor(ROWS), torch.tensor(ROWS) + 1), batch_size=2),
        DataLoader(TensorDataset(torch.tensor(ROWS), torch.tensor(ROWS) + 1, torch.arange(4)), batch_size=2),
    ],
    ids=["dict", "dicts", "tuples", "tuples and a label"],
)
def test_rows_of_several_inputs(data: Any, tmp_path: Path) -> None:
    found = rows_of(written(data, tmp_path, inputs=["a", "b"]))
    assert len(found) == 4 and all(np.array_equal(row["a"] + 1, row["b"]) for row in found)


def test_rows_of_several_sizes(tmp_path: Path) -> None:
    found = rows_of(written([np.zeros((n, 2), np.float32) for n in (3, 5)], tmp_path))
    assert [row[""].shape for row in found] == [(1, 3, 2), (1, 5, 2)]


def test_labelled_pictures_and_texts(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 7, 5, 3), np.uint8)
    for name, data in {
        "pillow": [(Image.fromarray(one), i) for i, one in enumerate(pixels)],
        "loader": DataLoader(TensorDataset(torch.tensor(pixels), torch.arange(2)), batch_size=2),
    }.items():
        (tmp_path / name).mkdir()
        items = PICTURES.items(written(data, tmp_path / name, task="image-classification"), PICTURES.facts())
        assert [item.label for item in items] == [0, 1] and np.array_equal(pictures.decode(items[1].read()), pixels[1])
    (tmp_path / "texts").mkdir()
    items = TEXTS.items(
        written([("so good, \n really", "pos"), ('"bad"', "neg")], tmp_path / "texts"),
        TEXTS.facts(labels=("neg", "pos"), activation="softmax"),
    )
    assert [(item.read().decode(), item.label) for item in items] == [("so good, \n really", 1), ('"bad"', 0)]


def test_paths_keep_their_names_and_not_their_folders(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "cat, grey.png")
    (tmp_path / "made").mkdir()
    items = PICTURES.items(
        written([(tmp_path / "cat, grey.png", 0)], tmp_path / "made", task="image-classification"), PICTURES.facts()
    )
    assert [(item.name, item.label) for item in items] == [("00000-cat_ grey.png", 0)]


def test_an_endless_iterable_ends(tmp_path: Path) -> None:
    def forever() -> Any:
        while True:
            yield np.zeros(1, np.float32)

    with pytest.warns(RuntimeWarning, match="first 10,000 items"):
        assert np.load(written(forever(), tmp_path)).shape == (MOST_ITEMS, 1)


@pytest.mark.parametrize(
    ("data", "error"), [([], BadInput), (7, UsageError), ([(1, 2, 3)], UsageError), ([object()], UsageError)]
)
def test_what_is_no_data_is_refused(data: Any, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        written(data, tmp_path)
