"""Programs x targets x recipes -> artefacts in a folder, each made in a child process, or the reason why there is
none.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compress import Chain, parse, recipes
from ..errors import ExportError, MissingDependency, OutputError, TorchportError, UsageError, at
from ..system import isolate
from ..targets import targets
from ..targets.base import ExportOptions, Target
from ..targets.shared.parents import Exporter
from ..types import PLAIN, Artifact
from .options import ALL

if TYPE_CHECKING:
    from ..frontend.program import Arrays, Program


@dataclass(frozen=True)
class LoweringJob:
    """One row to make: a target and a chain of recipes."""

    target: str
    recipe: Chain

    @property
    def id(self) -> str:
        """`<target>-<recipe>`, the row's id in every table."""
        return f"{self.target}-{self.recipe.name}"


@dataclass(frozen=True)
class LoweringResult:
    """What became of one row; `error` is None where there is an artefact.

    `same_as` is the id of an earlier row whose files these are, byte for byte: the recipe changed nothing.
    """

    wanted: LoweringJob
    artifact: Artifact | None
    error: TorchportError | None
    seconds: float
    same_as: str | None = None


def names_of(asked: Sequence[str] | None, profile: str) -> list[str]:
    """Names of the targets that are asked for: those of `--targets`; with `all` every one but the reference; with None
    those that make their rows in moments, and those that the profile asks for.
    """
    if asked is not None and [*asked] != [ALL]:
        return [*asked]
    found = []
    for name in targets.names():
        try:
            target = targets.get(name)
        except MissingDependency:
            found.append(name)
            continue
        meant = target.automatic or profile == "any" or profile in target.profiles
        if not target.reference and (asked is not None or meant):
            found.append(name)
    return found


def wanted(names: Sequence[str], recipe_names: Sequence[str] | None) -> list[LoweringJob]:
    """The rows for the named targets and recipes; None means every plain recipe.

    Recipes that were named are a row for every target, so that an impossible pair is reported; otherwise a target gets
    those it offers.

    Raises:
        UsageError: the reference was named as a candidate.
    """
    asked = chains_of(recipe_names)
    return [
        LoweringJob(name, chain)
        for name, offered in _offers(names).items()
        for chain in asked
        if recipe_names is not None or offered is None or chain.precision in offered
    ]


def rows_of(names: Sequence[str], chains: Sequence[Chain]) -> list[LoweringJob]:
    """The rows of found chains: every target takes those whose precision it offers."""
    return [
        LoweringJob(name, chain)
        for name, offered in _offers(names).items()
        for chain in chains
        if chain.precision in (offered or (PLAIN,))
    ]


def _offers(names: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
    """The named targets with the precisions that each offers; None where its package is not installed.

    Raises:
        UsageError: the reference is among them.
    """
    found: dict[str, tuple[str, ...] | None] = {}
    for name in names:
        try:
            target = targets.get(name)
        except MissingDependency:
            found[name] = None
            continue
        if not target.reference:
            found[name] = target.precisions
        else:
            raise UsageError(
                f"{name} is what every candidate is held against, not one of them",
                "leave it out of --targets: it is measured anyway",
            )
    return found


def chains_of(names: Sequence[str] | None) -> list[Chain]:
    """The named chains of recipes, or all plain recipes; UsageError for an unknown one."""
    return [
        parse(name) for name in dict.fromkeys(names or (name for name in recipes.names() if recipes.get(name).plain))
    ]


def ordered(rows: Sequence[LoweringJob]) -> list[LoweringJob]:
    """The rows in the order in which they are made: quick targets come first and slow ones last, the model as trained
    comes before its compressed forms, and a row comes before those that start from its artefact."""
    by_id = {row.id: row for row in rows}

    def parents(row: LoweringJob) -> Iterator[LoweringJob]:
        """The rows that this one starts from, whether it does so itself or through targets that are no rows."""
        name, precision, seen = row.target, row.recipe.precision, set[str]()
        while name not in seen:
            seen.add(name)
            try:
                needed = targets.get(name).needs(precision)
            except MissingDependency:
                return
            if needed is None:
                return
            name, precision = needed
            parent = by_id.get(f"{name}-{row.recipe.baseline}")
            if parent is not None and parent is not row:
                yield parent

    def turn(row: LoweringJob) -> int:
        try:
            return targets.get(row.target).turn
        except MissingDependency:
            return 1

    def rank(row: LoweringJob) -> tuple[bool, bool, int, int]:
        line = list(parents(row))
        last = max(turn(one) for one in (row, *line))
        return last > 1, row.recipe.name != PLAIN, last, len(line)

    return sorted(rows, key=rank)


@dataclass
class Lowering:
    """Makes artefacts in a folder, row by row.

    Attributes:
        folder: each row's artefact goes into a folder called by its id.
        feeds: graph -> calibration feeds, for targets whose quantisers learn from them.
        log: file that the converters' noise is appended to.
    """

    folder: Path
    feeds: Mapping[str, Sequence[Arrays]]
    log: Path
    made: dict[str, LoweringResult] = field(default_factory=dict)

    def row(
        self, row: LoweringJob, program: Program | TorchportError, limit_s: float, *, rewrite: bool = False
    ) -> LoweringResult:
        """Export one row into `folder/<id>`, in the place of what is there.

        Args:
            program: what its chain of recipes made, or why it made none.
            limit_s: wall-clock limit of one export, in seconds.
            rewrite: see `ExportOptions`.

        Raises:
            OutputError: the folder cannot be written.
        """
        start = time.perf_counter()
        self.made.pop(row.id, None)
        try:
            if isinstance(program, TorchportError):
                with at("quantise"):
                    raise program
            with at("export"):
                artifact = self._one(program, row, limit_s, rewrite)
            same_as = _twin(row, artifact, self.folder, self.made)
            self.made[row.id] = LoweringResult(row, artifact, None, time.perf_counter() - start, same_as)
        except OutputError:
            raise  # the disk failed, not the target
        except TorchportError as exc:
            shutil.rmtree(self.folder / row.id, ignore_errors=True)
            self.made[row.id] = LoweringResult(row, None, exc, time.perf_counter() - start)
        return self.made[row.id]

    def _one(self, program: Program, row: LoweringJob, limit_s: float, rewrite: bool) -> Artifact:
        target = targets.get(row.target)
        place = self.folder / row.id
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)

        def run(one: Target, for_whom: str | None, *arguments: Any) -> Artifact:
            what = f"the export to {one.name}" + (f", from which {for_whom} starts" if for_whom else "")
            return isolate.call(one.export, *arguments, log=self.log, limit_s=limit_s, what=what)

        def ready(name: str, precision: str, into: Path) -> Artifact | None:
            before = self.made.get(f"{name}-{row.recipe.baseline}")
            if before is None or (before.artifact is not None and before.artifact.precision != precision):
                return None
            if before.artifact is None:
                raise before.error or ExportError(f"{before.wanted.id} was not made")  # it would fail again
            shutil.copytree(self.folder / before.wanted.id, into, dirs_exist_ok=True)
            return before.artifact

        options = ExportOptions(
            recipe=row.recipe.name,
            precision=row.recipe.precision,
            strength=row.recipe.strength,
            feeds=self.feeds,
            rewrite=rewrite,
        )
        try:  # the export looks for the converter itself: one child imports it, once
            return Exporter(run, ready).export(target, program, place, options)
        except MissingDependency as exc:
            raise MissingDependency(exc.message, targets.install_hint(row.target)) from exc


def _twin(row: LoweringJob, artifact: Artifact, folder: Path, made: Mapping[str, LoweringResult]) -> str | None:
    """The id of an earlier row of the same target with the same files. Where the target itself carries the recipe out
    it may do so by the settings of its session alone, and these count too."""
    target = targets.get(row.target)
    settled = any(link.recipe.stage == "target" for link in row.recipe.links)

    def prints(one: LoweringJob, of: Artifact) -> dict[str, list[object]]:
        return {
            name: [
                settled and graph.session,
                graph.io,
                *(target.fingerprint(folder / one.id / file) for file in graph.files),
            ]
            for name, graph in of.graphs.items()
        }

    others = [low for low in made.values() if low.wanted.target == row.target and low.artifact and not low.same_as]
    mine = prints(row, artifact) if others else {}
    return next((low.wanted.id for low in others if low.artifact and prints(low.wanted, low.artifact) == mine), None)
