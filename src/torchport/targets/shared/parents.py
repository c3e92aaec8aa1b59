"""Targets that start from another target's artefact: the parents are made first, each of which may have its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ExportError
from ...types import Artifact
from .. import targets
from ..base import ExportOptions, Target

if TYPE_CHECKING:
    from ...frontend.program import Program


def _directly(target: Target, for_whom: str | None, *arguments: Any) -> Artifact:
    return target.export(*arguments)


@dataclass(frozen=True)
class Exporter:
    """Exports a Program, and before it all that the target starts from.

    Attributes:
        run: runs `target.export` on the last four arguments, here or in a child. The second argument names the target
            that starts from this artefact; it is None for the one that was asked for.
        ready: (target, precision, folder) -> a parent that was made already, its files copied into the folder; or None.
    """

    run: Callable[..., Artifact] = _directly
    ready: Callable[[str, str, Path], Artifact | None] = lambda name, precision, folder: None

    def export(self, target: Target, program: Program, folder: Path, options: ExportOptions) -> Artifact:
        """Export into a folder that exists; the parents' files are gone at the end.

        Raises:
            ExportError: a converter failed, or targets start from each other in a circle.
        """
        return self._made(target, program, folder, options, ())

    def _made(
        self, target: Target, program: Program, folder: Path, options: ExportOptions, line: tuple[str, ...]
    ) -> Artifact:
        if target.name in line:
            raise ExportError(
                f"{' starts from '.join((*line, target.name))}", "one of these targets is wrong: report it"
            )
        needed, parent, place = target.needs(options.precision), None, folder / "parent"
        if needed is not None:
            place.mkdir()
            name, precision = needed
            parent = self.ready(name, precision, place)
            if parent is None:
                own = replace(options, precision=precision, strength=None)
                parent = self._made(targets.get(name), program, place, own, (*line, target.name))
        made = self.run(target, line[-1] if line else None, program, folder, options, parent)
        shutil.rmtree(place, ignore_errors=True)
        return made
