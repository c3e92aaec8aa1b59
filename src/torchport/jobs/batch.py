"""`torchport batch`: answers of many inputs as rows of a file, which a run that was stopped goes on with.

Every row is one whole line, written as soon as it is answered. A run that is stopped leaves the rows before it, and at
worst a torn last line; the next run cuts that line, leaves out what has its row, and answers the rest. So every input
has exactly one row in the end. A small file beside the output says which Bundle and settings its rows are of.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from ..documents import prediction
from ..errors import BadInput, OutputError, UsageError
from ..predict import Predictor, Source
from ..serve.documents import BatchDocument
from ..system.disk import open_regular, write_file
from . import batch_parquet

SUFFIXES = (".jsonl", ".parquet")

SHOWN_S = 0.2
"""Seconds between two signs of progress, at least."""


class State(msgspec.Struct, frozen=True):
    """What the rows of an output are of: a run that goes on must ask for the same."""

    bundle: str
    variant: str
    settings: dict[str, Any] = {}


class Named(NamedTuple):
    """One input with the name of its row."""

    name: str
    source: Source


@dataclass(frozen=True)
class Inputs:
    """Files, each one input, and files of which every line is one, with the names `FILE:LINE`; lines are read as they
    are needed.
    """

    files: tuple[Path, ...] = ()
    lines: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.files) + sum(1 for path in self.lines for _ in _lines(path))

    def __iter__(self) -> Iterator[Named]:
        for path in self.files:
            yield Named(str(path), path)
        for path in self.lines:
            for number, line in _lines(path):
                yield Named(f"{path}:{number}", line)


def listed(path: Path) -> list[Path]:
    """The paths that a file names, one a line.

    Raises:
        BadInput: the file cannot be read.
    """
    return [Path(line.decode("utf-8", "surrogateescape")) for _, line in _lines(path)]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and content of the lines that are not empty."""
    try:
        with open_regular(path) as file:
            for number, line in enumerate(file, 1):
                if text := line.strip(b"\r\n"):
                    yield number, text
    except OSError as exc:
        raise BadInput(f"{path}: {exc.strerror or exc}", "give a file with an input a line") from exc


def check(out: Path, *, resume: bool) -> None:
    """See that the output can be begun, or gone on with, before a Bundle is opened.

    Raises:
        UsageError: its suffix is not known.
        OutputError: it exists, and nobody said to go on with it; or it is finished.
        MissingDependency: it is a Parquet file, and pyarrow is not installed.
    """
    if out.suffix not in SUFFIXES:
        raise UsageError(f"{out.name} is neither .jsonl nor .parquet", "name the output -o NAME.jsonl")
    if out.suffix == ".parquet":
        batch_parquet.need()
    if out.suffix == ".parquet" and resume and out.exists() and not _rows_of(out).exists():
        raise OutputError(f"{out.name} is finished", "choose another -o for other inputs")
    if not resume and (there := next((path for path in (out, _rows_of(out)) if path.exists()), None)):
        raise OutputError(f"{there.name} exists", "go on with it by --resume, or choose another -o")


def batch(
    predictor: Predictor,
    inputs: Inputs,
    out: Path,
    *,
    size: int = 16,
    settings: dict[str, Any] | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> BatchDocument:
    """Answer every input that has no row yet, and add its row.

    Args:
        out: a `.jsonl` file, which grows; or a `.parquet` file, which is made of such rows at the end.
        size: inputs of one call of a graph, at most.
        settings: what changes answers; rows of other settings are not gone on with.
        tell: hears how many rows there are, and how many there will be.

    Raises:
        OutputError: the rows that are there are of another Bundle, other settings or other inputs; or the output cannot
        be written.
        BadInput: a file of inputs cannot be read.
    """
    began, total = time.monotonic(), len(inputs)
    state = State(predictor.bundle.digest, predictor.variant.id, settings or {})
    with _opened(_rows_of(out), state) as file:
        before = _kept(file, out.name)
        left, skipped = _left(inputs, before, out.name)
        failed = before.failed
        shown = 0.0
        for done, row in enumerate(_answers(predictor, left, size), skipped + 1):
            failed += not row["ok"]
            _write(file, encoded(row), out)
            if (now := time.monotonic()) - shown > SHOWN_S:
                shown = now
                tell(done, total)
        tell(total, total)
        if out.suffix == ".parquet":
            batch_parquet.write(_rows_of(out), out)
    if out.suffix == ".parquet":
        for path in (_rows_of(out), _state_of(_rows_of(out))):
            path.unlink()
    return BatchDocument(
        output=str(out),
        bundle=str(predictor.bundle.path),
        variant=predictor.variant.id,
        inputs=total,
        failed=failed,
        skipped=skipped,
        seconds=round(time.monotonic() - began, 3),
    )


def encoded(row: dict[str, Any]) -> bytes:
    """A row as one line of JSON."""
    try:
        return msgspec.json.encode(row) + b"\n"
    except UnicodeEncodeError:  # the name of a file need not be text: json escapes it
        return json.dumps(msgspec.to_builtins(row)).encode() + b"\n"


def _answers(predictor: Predictor, left: Iterable[Named], size: int) -> Iterator[dict[str, Any]]:
    """The rows, in the order of the inputs."""
    names, sources = itertools.tee(left)  # as far apart as `predict_many` looks ahead
    found = predictor.predict_many((one.source for one in sources), size)
    for (result, error), one in zip(found, names, strict=True):
        yield prediction(one.name, result, error)


@dataclass
class Rows:
    """What an output holds already: how often each name has a row, and how many rows are of failed inputs."""

    names: Counter[str]
    failed: int = 0

    def __bool__(self) -> bool:
        return bool(self.names)


def _left(inputs: Inputs, before: Rows, name: str) -> tuple[Iterator[Named], int]:
    """The inputs without a row, and how many have one.

    Raises:
        OutputError: a row is of none of the inputs.
    """
    skipped = before.names.total()
    if before:
        missing = before.names - Counter(one.name for one in inputs)
        if missing:
            raise OutputError(
                f"{name} has a row of {next(iter(missing))[:100]!r}, which is none of the inputs",
                "name the inputs as the first run did, or choose another -o",
            )
    seen = Counter(before.names)

    def left() -> Iterator[Named]:
        for one in inputs:
            if seen[one.name]:
                seen[one.name] -= 1
            else:
                yield one

    return left(), skipped


def _rows_of(out: Path) -> Path:
    """Where rows are kept: the output itself, or beside a Parquet file, which cannot grow."""
    return out if out.suffix == ".jsonl" else out.with_name(f"{out.name}.jsonl")


def _state_of(rows: Path) -> Path:
    return rows.with_name(f"{rows.name}.state")


@contextlib.contextmanager
def _opened(rows: Path, state: State) -> Iterator[BinaryIO]:
    """The rows, open for reading and for adding to, by this process alone; rows of the same Bundle and settings."""
    beside = _state_of(rows)
    try:
        file = rows.open("a+b")
    except OSError as exc:
        raise OutputError(f"cannot write {rows.name}: {exc.strerror or exc}", "choose another -o") from exc
    with file:
        _lock(file, rows.name)
        if file.seek(0, 2):
            _check_same(beside, state, rows.name)
        else:
            write_file(beside, msgspec.json.format(msgspec.json.encode(state)) + b"\n")
        yield file


def _lock(file: BinaryIO, name: str) -> None:
    try:
        import fcntl
    except ImportError:  # not on this system: two runs of one output are the user's affair
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise OutputError(f"another run writes {name} now", "wait for it, or choose another -o") from exc
    except OSError:  # a file system without locks
        return


def _check_same(beside: Path, state: State, name: str) -> None:
    try:
        known = msgspec.json.decode(beside.read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise OutputError(
            f"{name} was not begun by `torchport batch`: {beside.name} beside it cannot be read", "choose another -o"
        ) from exc
    for what, one, other in (
        ("another Bundle", known.bundle, state.bundle),
        (f"the variant {known.variant}", known.variant, state.variant),
        (f"the settings {known.settings or 'of the Bundle'}", known.settings, state.settings),
    ):
        if one != msgspec.json.decode(msgspec.json.encode(other)):
            raise OutputError(f"{name} has rows of {what}", "ask for the same as the first run, or choose another -o")


def _kept(file: BinaryIO, name: str) -> Rows:
    """The rows that are there; a torn last line is cut."""
    file.seek(0)
    rows, end = Rows(Counter()), 0
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            break
        try:
            row = json.loads(line)
            rows.names[row["input"]] += 1
            rows.failed += not row["ok"]
        except (ValueError, KeyError, TypeError) as exc:
            raise OutputError(f"line {number} of {name} is no row", "cut it there, or choose another -o") from exc
        end += len(line)
    file.truncate(end)
    return rows


def _write(file: BinaryIO, line: bytes, out: Path) -> None:
    try:
        file.write(line)
        file.flush()
    except OSError as exc:
        raise OutputError(
            f"cannot write {out.name}: {exc.strerror or exc}; the rows before are kept",
            "free some space, and go on by --resume",
        ) from exc
