"""The `tensor` task: any module, named tensors in and named tensors out, from safetensors, npy or JSON."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from ..errors import BadInput, RunError, UsageError, first_line
from ..types import Artifact, Signature, Step, TensorSpec, Value
from .base import Task
from .facts import Facts, Mark
from .parts import HostStep, Item, Settled, Values


class Tensors(Value, frozen=True):
    """Output name -> its numbers or booleans, in lists as deep as the tensor has axes."""

    outputs: dict[str, Any]


_SHOWN = 8
"""How many numbers of an output people are shown."""


_ONE_ANSWER = (
    "each row of the data is taken for an item, and the model has one answer for all rows that it is given; where a "
    "file is one item, such as a set of points, put it into a folder and name its first axis: "
    '--input "points:float32[n,4]"'
)


class TensorFacts(Facts, frozen=True, kw_only=True):
    """What a deploy told of the model's inputs; a user sets nothing."""

    inputs: Annotated[
        tuple[Annotated[tuple[str, ...], Meta(min_length=2, max_length=2)], ...],
        "Name and dtype of each of the model's inputs.",
        Mark.TOLD,
    ] = ()
    whole: Annotated[bool, "Whether a file of tensors is one item as it is.", Mark.TOLD] = False


class TensorTask(Task[TensorFacts]):
    """Named tensors through a model, as they are.

    Data is a `.safetensors`, `.npy` or `.json` file whose first axis counts the items: item i is row i of every tensor.
    A folder of such files may hold items of several sizes.
    """

    name = "tensor"
    about = "named tensors in, named tensors out: any module"
    metric = "agreement"
    about_data = (
        "One .safetensors, .npy or .json file whose first axis counts the items, or a folder of such files, whose "
        "items may be of several sizes; a file of a folder is one item where the first axes of its tensors differ (a "
        "graph of nodes and edges) or where --input names that axis otherwise than batch (a set of points: "
        "points:float32[n,4]). Tensors are named as the model's inputs. Or none, with --input. There are no labels."
    )
    about_metric = (
        "agreement: the share of items with the same greatest index as the reference in each output that is a row of "
        "scores, and the same numbers to 1 % in the others."
    )
    suffixes = (".safetensors", ".npy", ".json")
    mime: ClassVar[Mapping[str, str]] = {"application/json": ".json"}
    answer = Tensors
    takes_tensors = True
    facts = TensorFacts
    example = 'torchport deploy net.py:Net --task tensor --input "x:float32[batch,10]" -o net.tport'

    def bind(self, facts: TensorFacts, model: Signature) -> TensorFacts:
        """Adds `inputs`: name and dtype of each, so that npy and JSON (which carry fewer facts) can be read."""
        return replace(facts, inputs=tuple((spec.name, spec.dtype) for spec in model.inputs))

    def recorded(self, facts: Mapping[str, Any]) -> TensorFacts:
        """As `Task.recorded`; there are `inputs`, which `bind` added."""
        made = super().recorded(facts)
        if not made.inputs:
            raise UsageError("inputs is not a list of names and dtypes", 'such as [["x", "float32"]]')
        return made

    def named(self, facts: TensorFacts, data: Path, inputs: Sequence[TensorSpec]) -> TensorFacts:
        """Adds `whole` where a file is one item: `inputs` have as many axes as the file's tensors, and the first one of
        a tensor has another name than `batch`. In one file alone it must not count its tensors' rows besides.
        """
        first = {spec.shape[0] for spec in inputs if spec.shape}
        if not any(isinstance(dim, str) for dim in first) or "batch" in first:
            return facts
        path = self._files(data)[0] if data.is_dir() else data
        axes = {
            name or inputs[0].name: array.ndim for name, array in read_tensors(_read(path), None, path.name).items()
        }
        whole = all(axes.get(spec.name) == len(spec.shape) for spec in inputs) and (data.is_dir() or _is_whole(path))
        return replace(facts, whole=True) if whole else facts

    def items(self, data: Path, facts: TensorFacts) -> list[Item]:
        """One item a row, of one file or of each file of a folder; an item's raw bytes are a safetensors file of that
        row.

        Where nothing counts rows, each file is one item as it is: the tensors of a file in a folder differ in their
        first axis, as the nodes and edges of a graph do, or the user named that axis (`whole`), as of a set of points.
        """
        if not data.is_dir():
            return [_whole(data)] if facts.whole else self._rows(data)
        files = self._files(data)
        if facts.whole or any(_is_whole(path) for path in files):
            return [_whole(path) for path in files]
        return [item for path in files for item in self._rows(path, keep=False)]

    def _files(self, folder: Path) -> list[Path]:
        files = sorted(
            path
            for path in folder.iterdir()
            if path.suffix in self.suffixes and path.is_file() and not path.name.startswith(".")
        )
        if not files:
            raise BadInput(
                f"{folder}: no {', '.join(self.suffixes)} in this folder",
                "give --data a file of tensors, or a folder of such files",
            )
        return files

    def _rows(self, data: Path, *, keep: bool = True) -> list[Item]:
        """The rows of a file; its arrays are kept in memory, or read again for each row."""
        arrays = read_tensors(_read(data), None, data.name)
        counts = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
        if not arrays or len(set(counts.values())) != 1 or 0 in counts.values():
            raise BadInput(
                f"{data.name}: the first axis counts the items, here {counts}",
                "give every tensor the same, non-zero first axis; a file that is one item, such as a graph, goes into "
                'a folder, or has its axes named by --input, as in "nodes:float32[n,8]"',
            )
        size = next(iter(counts.values()))

        kept = arrays if keep else None

        def row(i: int) -> Item:
            return Item(
                f"{data.name}[{i}]",
                lambda: _write(
                    {
                        name: array[i : i + 1]
                        for name, array in (kept or read_tensors(_read(data), None, data.name)).items()
                    }
                ),
            )

        return [row(i) for i in range(size)]

    def settle(self, data: Path, items: Sequence[Item], facts: TensorFacts, model: Signature) -> Settled:
        """As `Task.settle`; where every input of the model has the same number of rows for good, that many rows are one
        item.
        """
        settled = super().settle(data, items, facts, model)
        first = {spec.shape[0] if spec.shape else 1 for spec in model.inputs}
        counted = first & {"batch", "group"}  # `group` where an item's answer depends on the others
        if counted and not facts.whole and not any(counted & {*spec.shape} for spec in model.outputs):
            settled = settled._replace(warnings=(*settled.warnings, _ONE_ANSWER))
        size = first.pop() if len(first) == 1 else 1
        if not isinstance(size, int) or size == 1 or _rows_of(items[0]) != {1}:
            return settled
        if len(items) < size:
            raise BadInput(
                f"{data.name}: the model takes {size} rows at once, and there are {len(items)}",
                "give more rows, or export the model with a free batch",
            )
        together = [_joined(items[at : at + size]) for at in range(0, len(items) - size + 1, size)]
        settled = super().settle(data, together, facts, model)
        left = f"; the last {len(items) % size} are left out" if len(items) % size else ""
        return settled._replace(
            warnings=(
                f"the model takes {size} rows at once, so {size} rows of the data are one item{left}",
                *settled.warnings,
            )
        )

    def feed(self, items: Sequence[Item], facts: TensorFacts, inputs: Sequence[str] | None) -> dict[str, np.ndarray]:
        """The rows of the items, stacked; a nameless array (npy, a JSON list) is the model's only input."""
        rows = [read_tensors(item.read(), None, item.name) for item in items]
        stacked = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        if inputs and list(stacked) == [""]:
            stacked = {inputs[0]: stacked[""]}
        return stacked

    def steps(self, facts: TensorFacts, model: Signature) -> tuple[Step, ...]:
        """decode -> model -> present."""
        inputs = {spec.name: f"inputs.{spec.name}" for spec in model.inputs}
        outputs = {spec.name: f"outputs.{spec.name}" for spec in model.outputs}
        return (
            Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs=inputs),
            Step(name="model", graph="model", inputs=inputs, outputs=outputs),
            Step(name="present", host="present", inputs=outputs, outputs={"result": "result"}),
        )

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`: bytes -> the model's inputs; `present`: the model's outputs -> {"outputs": {name: nested
        lists}}.
        """
        return {"decode": _decode, "present": _present}

    def snippets(self, facts: TensorFacts, model: Signature, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
        """As `Task.snippets`; the input is a JSON file of nested lists."""
        from .shared import tensor_snippets

        return tensor_snippets.programs(model, artifacts)

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """Tensors carry no labels: every answer that agrees counts, see `agree`."""
        return 1.0

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """The same greatest index where an output is a row of scores, else the same numbers within 1 %."""
        return all(
            _alike(np.asarray(result["outputs"][name]), np.asarray(value))
            for name, value in reference["outputs"].items()
        )

    def words(self, result: Mapping[str, Any]) -> str:
        """Each output with its first numbers: `scores: 0.121 0.0125; mask: [1, 80, 80] 0 0 1 ...`."""
        return "; ".join(f"{name}: {_shortly(np.asarray(value))}" for name, value in result["outputs"].items())

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """An output a line."""
        return [f"{name}: {_shortly(np.asarray(value))}" for name, value in result["outputs"].items()]


def _shortly(array: np.ndarray) -> str:
    """The numbers of one item, or where they are many the shape and the first of them."""
    numbers = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in array.ravel()[:_SHOWN].tolist()]
    return " ".join(numbers) if array.size <= _SHOWN else f"{list(array.shape)} {' '.join(numbers)} ..."


def _alike(got: np.ndarray, reference: np.ndarray) -> bool:
    if got.shape != reference.shape:
        return False
    if not reference.size or not np.issubdtype(reference.dtype, np.floating):
        return bool((got == reference).all())
    if reference.ndim == 2 and reference.shape[1] > 1:
        return bool((got.argmax(1) == reference.argmax(1)).all())
    return bool(np.abs(got - reference).max() <= 0.01 * max(float(np.abs(reference).max()), 1e-6))


def _decode(values: Values, facts: TensorFacts) -> Values:
    wanted = {pair[0]: pair[1] for pair in facts.inputs}
    arrays = read_tensors(values["raw"], wanted, "the input")
    if set(arrays) != set(wanted):
        raise BadInput(f"the input names {sorted(arrays)}", f"the model takes {sorted(wanted)}")
    return dict(arrays)


def _present(values: Values, facts: TensorFacts) -> Values:
    for name, array in values.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise RunError(
                f"output '{name}' holds NaN or infinity",
                "look for a division by zero or an overflow in the model or the input",
            )
    return {"result": {"outputs": {name: array.tolist() for name, array in values.items()}}}


def read_tensors(raw: bytes, wanted: Mapping[str, str] | None, where: str) -> dict[str, np.ndarray]:
    """Named arrays from safetensors, npy or JSON bytes, told apart by their content.

    Args:
        wanted: input name -> dtype; a nameless array becomes the only input, and JSON numbers take its dtype. Without
        it
            a nameless array is called "" and JSON numbers become float32 (or int64 where all are whole).
        where: name of the data, for errors.

    Raises:
        BadInput: the bytes are none of the three, or hold something else than numbers and booleans.
    """
    try:
        if raw[:6] == b"\x93NUMPY":
            named: dict[str, Any] = {"": np.load(io.BytesIO(raw), allow_pickle=False)}
        elif raw.lstrip()[:1] in (b"{", b"["):
            document = msgspec.json.decode(raw)
            named = document if isinstance(document, dict) else {"": document}
        else:
            from safetensors.numpy import load

            named = load(raw)
    except Exception as exc:  # each reader has errors of its own; to the caller they mean one thing
        raise BadInput(
            f"{where}: neither safetensors, npy nor JSON tensors ({first_line(exc, kind=False)[:100]})",
            "save it with safetensors.numpy.save_file",
        ) from exc
    if wanted and list(named) == [""]:
        if len(wanted) != 1:
            raise BadInput(
                f"{where}: one nameless array", f"the model takes {sorted(wanted)}: use safetensors or a JSON object"
            )
        named = {next(iter(wanted)): named[""]}
    return {name: _as_array(name, value, (wanted or {}).get(name), where) for name, value in named.items()}


def _as_array(name: str, value: Any, dtype: str | None, where: str) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    try:
        array = np.asarray(value)
    except ValueError as exc:
        raise BadInput(f"{where}: '{name}' is a ragged list", "give every row the same length") from exc
    if array.dtype.kind not in "fiub":
        raise BadInput(f"{where}: '{name}' holds {array.dtype}", "give numbers or booleans")
    if dtype is None:
        dtype = "float32" if array.dtype.kind == "f" else array.dtype.name
    return array.astype(dtype)


def _is_whole(data: Path) -> bool:
    """Whether a file's tensors have first axes of different lengths, so that it is one item."""
    counts = {array.shape[0] if array.ndim else None for array in read_tensors(_read(data), None, data.name).values()}
    return len(counts) > 1 and 0 not in counts


def _whole(data: Path) -> Item:
    return Item(data.name, lambda: _write(read_tensors(_read(data), None, data.name)))


def _rows_of(item: Item) -> set[int]:
    """The lengths of the first axes of an item's tensors."""
    return {array.shape[0] if array.ndim else 1 for array in read_tensors(item.read(), None, item.name).values()}


def _joined(items: Sequence[Item]) -> Item:
    """Several rows as one item."""

    def read() -> bytes:
        rows = [read_tensors(item.read(), None, item.name) for item in items]
        return _write({name: np.concatenate([row[name] for row in rows]) for name in rows[0]})

    return Item(
        f"{items[0].name} and {len(items) - 1} more" if len(items) > 2 else f"{items[0].name}, {items[1].name}", read
    )


def _write(arrays: dict[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    return bytes(save({name: np.array(array, order="C") for name, array in arrays.items()}))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise BadInput(f"{path}: {exc.strerror or exc}", "give --data a .safetensors, .npy or .json file") from exc
