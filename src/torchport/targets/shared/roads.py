"""The roads to one graph's files: the plain one; where it fails, one from a program that is written otherwise."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ...errors import ExportError, TorchportError, UnsupportedByTarget
from ...types import GraphFile

if TYPE_CHECKING:
    from ...frontend.program import GraphProgram
    from ..base import ExportOptions

Made = tuple[GraphFile, Sequence[str]]
Road = Callable[["GraphProgram", Path, "ExportOptions", GraphFile | None], Made]
"""(graph, folder, options, parent's graph) -> the graph's files and what there is to say of them."""


def taken(plainly: Road, graph: GraphProgram, folder: Path, options: ExportOptions, parent: GraphFile | None) -> Made:
    """What the first road that leads somewhere makes; with `options.rewrite` the plain one is the last.

    Raises:
        TorchportError: none does; in the words of the plain one.
    """
    if options.rewrite:
        return _otherwise(plainly, graph, folder, options, "its answers differ") or plainly(
            graph, folder, options, parent
        )
    before = files_in(folder)
    try:
        return plainly(graph, folder, options, parent)
    except (UnsupportedByTarget, ExportError) as failed:
        for name in files_in(folder) - before:
            (folder / name).unlink()
        made = None if parent else _otherwise(plainly, graph, folder, options, failed.message)
        if made is None:
            raise
        return made


def _otherwise(plainly: Road, graph: GraphProgram, folder: Path, options: ExportOptions, why: str) -> Made | None:
    """From a program written otherwise; None where nothing can be, or that fails too."""
    from ...frontend.rewrites import writings

    try:
        for other, names in writings(graph):
            if not names:
                return None
            with contextlib.suppress(TorchportError):
                made, notes = plainly(other, folder, options, None)
                said = f"graph {graph.name} was written otherwise ({', '.join(names)}), for as it was: {why}"
                return msgspec.structs.replace(made, rewrites=tuple(names)), [*notes, said[:300]]
    except TorchportError:  # the plain road's failure says more
        pass
    return None


def files_in(folder: Path) -> set[str]:
    """Every file in a folder and below, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
