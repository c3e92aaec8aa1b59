"""Rows of JSON as a Parquet file: pyarrow, where it is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import MissingDependency, OutputError

ROWS = 10_000
"""Rows that are in memory at once, and in one group of the file."""


def need() -> None:
    """See that Parquet files can be written.

    Raises:
        MissingDependency: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise MissingDependency("Parquet files need pyarrow: pip install pyarrow", "or name the output -o NAME.jsonl")


def write(rows: Path, out: Path) -> None:
    """Write the rows of a file, an object a line, as a Parquet file, whole or not at all.

    The columns are the fields of all rows: a first pass over the file finds their types, a second one writes it, so
    memory is bounded.

    Raises:
        OutputError: it cannot be written, or rows have one field of types that do not go together.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    scratch = out.with_name(f".{out.name}.part")
    try:
        found = [pa.Table.from_pylist(_columns(group)).schema for group in _groups(rows)]
        if not found:
            found = [pa.schema([("input", pa.string()), ("ok", pa.bool_()), ("error", pa.string())])]
        schema = pa.unify_schemas(found, promote_options="permissive")
        with pq.ParquetWriter(scratch, schema) as writer:
            for group in _groups(rows):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
        scratch.replace(out)
    except (OSError, pa.ArrowException) as exc:
        raise OutputError(f"cannot write {out.name}: {exc}", f"its rows are in {rows.name}") from exc
    finally:
        scratch.unlink(missing_ok=True)


def _groups(rows: Path) -> Iterator[list[dict[str, Any]]]:
    with rows.open("rb") as file:
        while group := [json.loads(line) for line in islice(file, ROWS)]:
            yield group


def _columns(group: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with every field of any of them in the first, from which alone pyarrow takes the columns."""
    names = dict.fromkeys(name for row in group for name in row)
    return [{**dict.fromkeys(names), **group[0]}, *group[1:]]
