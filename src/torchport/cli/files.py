"""The files that `predict` reads and writes: inputs of a folder, answers as pictures and sound, raw tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInput

if TYPE_CHECKING:
    import numpy as np


def expand(
    inputs: Sequence[Path], suffixes: Sequence[str], whole: Callable[[Path], bool] = lambda folder: False
) -> list[Path]:
    """Files as they are; a folder as itself where it is one input, else as its files with one of the suffixes and such
    folders, sorted.

    Args:
        whole: whether a folder is one input.

    Raises:
        BadInput: a folder holds nothing that the task takes.
    """
    found: list[Path] = []
    for path in inputs:
        if not path.is_dir() or whole(path):
            found.append(path)
            continue
        folders = {p for p in path.rglob("*") if p.is_dir() and whole(p)}
        inside = sorted(folders | {p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in suffixes})
        inside = [p for p in inside if folders.isdisjoint(p.parents)]
        if not inside:
            raise BadInput(f"{path}: no file with {', '.join(suffixes)} inside", "give files, or another folder")
        found += inside
    return found


class Drawer:
    """Writes what answers look like beside their JSON: one input to the named file, several into the named folder.

    Raises (on `write`):
        BadInput: the answer is nothing to draw.
        OutputError: the file cannot be written.
    """

    def __init__(self, target: Path, inputs: int) -> None:
        self._target = target
        self._as_file = inputs == 1 and bool(target.suffix) and not target.is_dir()
        self._taken: set[Path] = set()

    def write(self, name: str, drawn: Mapping[str, bytes]) -> list[Path]:
        """The files written for the input of that name."""
        from ..system.disk import write_file

        if not drawn:
            raise BadInput(
                "there is nothing to save but the JSON answer", "use --json, or --save-outputs for the raw tensors"
            )
        if self._as_file and self._target.suffix not in drawn and len(drawn) == 1:
            raise BadInput(
                f"the answer is a {next(iter(drawn))} file, not {self._target.suffix}",
                f"write --save {self._target.with_suffix(next(iter(drawn))).name}",
            )
        paths = []
        for suffix, content in drawn.items():
            path = self._target.with_suffix(suffix) if self._as_file else self._free(Path(name).stem, suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, content)
            paths.append(path)
        return paths

    def _free(self, stem: str, suffix: str) -> Path:
        path, number = self._target / f"{stem}{suffix}", 2
        while path in self._taken:
            path, number = self._target / f"{stem}-{number}{suffix}", number + 1
        self._taken.add(path)
        return path


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as safetensors, whole or not at all."""
    import numpy as np
    from safetensors.numpy import save

    from ..system.disk import write_file

    write_file(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
