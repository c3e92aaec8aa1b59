"""A folder that shows a divergence with the runtime alone: inputs, what they should make, and a script."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np

from ..report import depth
from ..system.disk import need_empty, writing
from ..verification.diverging import DebugDocument
from .debug import Found


def reproduce(document: DebugDocument, found: Found | None, folder: Path) -> list[str]:
    """Write the folder: `report.html` with error against depth, and where a layer was named `inputs.safetensors`,
    `expected.safetensors`, the smallest part of the graph that fails, and `show.py`.

    Returns:
        Names of the files.

    Raises:
        OutputError: the folder exists and is not empty.
    """
    need_empty(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        mark = None
        if found is not None:
            _files(found, folder)
            mark = found.where.number
        facts = {
            name: str(value)
            for name in ("graph", "layer", "op", "module", "place", "reference", "before", "after", "noise", "item")
            if (value := getattr(document, name)) is not None
        }
        page = depth.page(f"{document.variant}: {document.cause}", document.said, document.depth, mark, facts)
        (folder / "report.html").write_text(page, encoding="utf-8")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _files(found: Found, folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"expected": np.ascontiguousarray(found.wanted)}, folder / "expected.safetensors")
    layer = found.where.layer
    feed = dict(found.feed)
    part = found.target.part(found.entry, list(found.given), layer.name, folder) if _plain(layer.name) else None
    if part is not None:
        feed = {name: found.given[name] if name in found.given else found.feed[name] for name in part.reads}
        (folder / "show.py").write_text(part.script, encoding="utf-8")
    else:
        for path in found.entry.parent.glob(f"{found.entry.stem}.*"):
            shutil.copyfile(path, folder / path.name)
    save_file({name: np.ascontiguousarray(array) for name, array in feed.items()}, folder / "inputs.safetensors")


def _plain(name: str) -> bool:
    """Whether a name of a file that may be a stranger's can stand in a script."""
    return re.fullmatch(r"[\w./:+-]+", name) is not None
