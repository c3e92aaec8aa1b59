"""What a caller in Python hands over instead of a file: arrays, tensors, pictures, lists, a DataLoader. It becomes the
bytes, or the file, that a task reads anyway, so that nothing further on tells them apart. Nothing here imports PyTorch:
a tensor is known by its methods.
"""

from __future__ import annotations

import io
import itertools
import json
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput, MissingDependency, UsageError
from . import Task
from .facts import Facts

MOST_ITEMS = 10_000
"""Items that are taken of an iterable: a DataLoader may never end."""

PICTURE, SOUND, TEXT = ".png", ".wav", ".txt"
"""Suffixes by which a task shows what kind of input it takes."""


def raw_of(value: Any, task: Task, facts: Facts) -> bytes:
    """One input as the raw bytes that the task decodes.

    Args:
        value: bytes; a path; a picture of Pillow; an array or tensor (for `tensor` the model's only input with its
        batch axis, for pictures
            uint8 [height, width, channels] or [channels, height, width], for recordings float samples at the model's
            rate); for `tensor` also nested lists of numbers, or a dict of input name -> any of these.
        facts: the Bundle's.

    Raises:
        BadInput: it is nothing that the task takes, or the file cannot be read.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str | Path):
        return _read(Path(value), task)
    if _is_picture(value) and PICTURE in task.suffixes:
        return _png(value)
    if isinstance(value, Mapping) and task.takes_tensors:
        wanted = dict(getattr(facts, "inputs", ()))
        return _safetensors({str(name): _cast(_array(one), wanted.get(str(name))) for name, one in value.items()})
    if _is_array(value) or (task.takes_tensors and isinstance(value, list | tuple)):
        return _raw_of_array(_array(value), task, facts)
    raise BadInput(f"{task.name} takes no {type(value).__name__}", _takes(task))


def _raw_of_array(array: np.ndarray, task: Task, facts: Facts) -> bytes:
    if task.takes_tensors:
        inputs = list(getattr(facts, "inputs", ()))
        return _npy(_cast(array, inputs[0][1] if len(inputs) == 1 else None))
    if PICTURE in task.suffixes:
        return _png(_picture(array))
    if SOUND in task.suffixes:
        return _wav(array, facts)
    raise BadInput(f"{task.name} takes no array", _takes(task))


def written(data: Any, folder: Path, *, task: str | None = None, inputs: Sequence[str] | None = None) -> Path:
    """A data set in memory as a file or folder that `--data` takes; a path as it is.

    Args:
        data: a path; an array or tensor whose first axis counts the items, or a dict of them by input name; a list of
        items; or an iterable of
            batches, such as a DataLoader, or of items, such as a Dataset. An item is an array, a tensor, a dict of
            them, a picture, a text, a path, or a pair of one of these and its label.
        folder: where to write; empty and private.
        task: its name, where the caller said it.
        inputs: names of forward's arguments, where they are known: they name the parts of an item that is a tuple.

    Raises:
        UsageError: it is none of these.
        BadInput: there is nothing in it.
    """
    if isinstance(data, str | Path):
        return Path(data)
    if isinstance(data, Mapping):
        return _save(folder / "data.safetensors", _safetensors({str(name): _array(one) for name, one in data.items()}))
    tensors = task in (None, "tensor")
    if _is_array(data) and tensors:
        return _save(folder / "data.npy", _npy(_array(data)))
    items = list(itertools.islice(_items(data), MOST_ITEMS + 1))
    if not items:
        raise BadInput("the data holds no items", "give at least one")
    if len(items) > MOST_ITEMS:
        warnings.warn(f"only the first {MOST_ITEMS:,} items of the data are used", RuntimeWarning, stacklevel=3)
        items = items[:MOST_ITEMS]
    named = [_named(item, inputs) for item in items]
    first = named[0][0]
    if isinstance(first, Mapping) or (tensors and isinstance(first, np.ndarray)):
        return _rows(folder, [value for value, _ in named])
    if isinstance(first, str) and not Path(first).is_file():
        lines = [
            json.dumps({"text": str(value), **({} if label is None else {"label": str(label)})})
            for value, label in named
        ]
        return _save(folder / "data.jsonl", "\n".join(lines).encode())
    return _files(folder, named)


def _items(data: Any) -> Iterator[Any]:
    """The items of anything that can be gone through: batches are taken apart."""
    if _is_array(data):
        yield from _array(data)
        return
    batched = hasattr(data, "dataset") and getattr(data, "batch_size", None) is not None
    if not isinstance(data, Iterable) and not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        raise UsageError(
            f"data is a {type(data).__name__}",
            "give a path, an array, a tensor, a list, a dict of arrays, or a DataLoader",
        )
    for one in data if isinstance(data, Iterable) else (data[i] for i in range(len(data))):
        if batched:
            yield from _unbatched(one)
        else:
            yield one


def _unbatched(batch: Any) -> Iterator[Any]:
    """The items of one batch: each tensor of it is cut along its first axis."""
    if isinstance(batch, Mapping):
        columns = {name: list(_array(one)) for name, one in batch.items()}
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    elif isinstance(batch, list | tuple):
        yield from zip(*(list(_array(one)) if _is_array(one) else list(one) for one in batch), strict=True)
    else:
        yield from _array(batch)


def _named(item: Any, inputs: Sequence[str] | None) -> tuple[Any, Any]:
    """An item and its label: an array, a mapping of arrays, a text, a path or a picture."""
    label = None
    if isinstance(item, tuple):
        wanted = len(inputs or ())
        parts = list(item)
        if inputs and wanted > 1 and len(parts) in (wanted, wanted + 1):
            return dict(zip(inputs, map(_array, parts[:wanted]), strict=True)), parts[wanted] if len(
                parts
            ) > wanted else None
        if len(parts) > 2:
            raise UsageError(
                f"an item of the data is a tuple of {len(parts)}",
                "give pairs of (input, label), or a dict of arrays by input name",
            )
        item, label = parts[0], parts[1] if len(parts) == 2 else None
    label = label.item() if label is not None and _is_array(label) and np.size(_array(label)) == 1 else label
    if isinstance(item, Mapping):
        return {str(name): _array(one) for name, one in item.items()}, label
    return _array(item) if _is_array(item) or isinstance(item, list | int | float) else item, label


def _rows(folder: Path, values: Sequence[Any]) -> Path:
    """Items of tensors: one file where they are of one size, else a folder with one file each."""
    rows = [value if isinstance(value, Mapping) else {"": value} for value in values]
    try:
        stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    except (ValueError, KeyError):
        for i, row in enumerate(rows):
            _save_row(folder / f"item-{i:05d}", {name: array[None] for name, array in row.items()})
        return folder
    return _save_row(folder / "data", stacked)


def _save_row(stem: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    if list(arrays) == [""]:
        return _save(stem.with_suffix(".npy"), _npy(arrays[""]))
    return _save(stem.with_suffix(".safetensors"), _safetensors(arrays))


def _files(folder: Path, named: Sequence[tuple[Any, Any]]) -> Path:
    """Pictures and other files, in a folder; a table names their labels where there are any."""
    lines = ["file,label"]
    for i, (value, label) in enumerate(named):
        if isinstance(value, str | Path):
            path = Path(value)
            name = f"{i:05d}-{path.name}".replace(",", "_").replace('"', "_")
            try:
                shutil.copyfile(path, folder / name)
            except OSError as exc:
                raise BadInput(f"{path}: {exc.strerror or exc}", "give files that exist and can be read") from exc
        elif _is_picture(value) or isinstance(value, np.ndarray):
            name = f"{i:05d}{PICTURE}"
            _save(folder / name, _png(_picture(value) if isinstance(value, np.ndarray) else value))
        else:
            raise UsageError(
                f"an item of the data is a {type(value).__name__}", "give arrays, tensors, pictures, texts or paths"
            )
        lines.append(f"{name},{label}")
    if any(label is not None for _, label in named):
        _save(folder / "labels.csv", "\n".join(lines).encode())
    return folder


def _is_array(value: Any) -> bool:
    return (
        isinstance(value, np.ndarray | np.generic)
        or hasattr(value, "detach")
        or (hasattr(value, "__array__") and not _is_picture(value))
    )


def _is_picture(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("save", "mode", "size", "getbands"))


def _array(value: Any) -> np.ndarray:
    """Anything like an array as one: a tensor from wherever it lies; Python's own numbers as float32, or int64 where
    all are whole.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value  # numpy has none
        return np.asarray(value.numpy())
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
        return np.asarray(value)
    try:
        array = np.asarray(
            [_array(one) for one in value]
            if isinstance(value, list | tuple) and value and _is_array(value[0])
            else value
        )
    except (ValueError, TypeError) as exc:
        raise BadInput(
            f"a {type(value).__name__} that is not an array: {exc}", "give every row the same length"
        ) from exc
    if array.dtype.kind not in "fiub":
        raise BadInput(f"a list of {array.dtype} is not a tensor", "give numbers or booleans")
    own = not (isinstance(value, list | tuple) and value and _is_array(value[0]))
    return array.astype(np.float32) if own and array.dtype == np.float64 else array


def _cast(array: np.ndarray, dtype: str | None) -> np.ndarray:
    """The array in the model's dtype where that is of the same kind, as float64 and float32 are; else as it is, for the
    check to refuse.
    """
    return array.astype(dtype) if dtype is not None and np.can_cast(array.dtype, dtype, "same_kind") else array


def _picture(array: np.ndarray) -> Any:
    """A picture of Pillow from uint8 [height, width], [height, width, 1, 3 or 4] or, as PyTorch has it, the channels
    first.
    """
    from PIL import Image

    if array.dtype != np.uint8:
        raise BadInput(
            f"a picture of {array.dtype}", "give uint8 pixels of 0 to 255; prepared tensors are for --task tensor"
        )
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[-1] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)) or 0 in array.shape:
        raise BadInput(
            f"a picture of shape {list(array.shape)}", "give [height, width, channels], with 1, 3 or 4 channels"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _png(picture: Any) -> bytes:
    """A picture without loss; how it is to be turned goes along."""
    if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        picture = picture.convert("RGB")
    out = io.BytesIO()
    kept = {"exif": picture.getexif().tobytes()} if len(picture.getexif()) else {}
    picture.save(out, "PNG", compress_level=1, **kept)
    return out.getvalue()


def _wav(samples: np.ndarray, facts: Facts) -> bytes:
    rate = getattr(facts, "sampling_rate", getattr(facts, "sample_rate", None))
    if not isinstance(rate, int) or samples.dtype.kind != "f" or samples.ndim not in (1, 2):
        raise BadInput(
            f"a recording of {samples.dtype} {list(samples.shape)}",
            "give float samples [samples] or [channels, samples] at the model's rate, or the bytes of a WAV file",
        )
    try:
        import soundfile
    except (ImportError, OSError) as exc:
        raise MissingDependency(f"recordings are read with soundfile: {exc}", "pip install 'torchport[audio]'") from exc
    out = io.BytesIO()
    soundfile.write(out, samples.astype(np.float32).T, rate, format="WAV", subtype="FLOAT")
    return out.getvalue()


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(array, order="C"), allow_pickle=False)
    return out.getvalue()


def _safetensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def _save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _read(path: Path, task: Task) -> bytes:
    try:
        return task.read(path)
    except OSError as exc:
        hint = "give a file that exists and can be read"
        raise BadInput(
            f"{path}: {exc.strerror or exc}",
            f"{hint}; a text goes in as bytes, text.encode()" if TEXT in task.suffixes else hint,
        ) from exc


def _takes(task: Task) -> str:
    kinds = ["bytes", "a path"]
    kinds += ["a picture of Pillow", "a uint8 array"] if PICTURE in task.suffixes else []
    kinds += ["an array", "a tensor", "a list of numbers", "a dict of them by input name"] if task.takes_tensors else []
    kinds += ["float samples"] if SOUND in task.suffixes else []
    return f"give {', '.join(kinds[:-1])} or {kinds[-1]}"
