"""One target with one toy at one precision: what the checks of the conformance suite share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import TorchportError
from ..figures import decibels
from ..targets.base import Arrays, ExportOptions, Target
from ..targets.shared.parents import Exporter
from ..targets.shared.runner import Runner
from ..types import PLAIN

if TYPE_CHECKING:
    from ..frontend.program import Program
    from ..types import Artifact
    from .toys import Toy

FEEDS = 32
"""Calibration feeds that a quantiser gets."""

LEAST_DB = 10.0
"""Least ratio of signal to noise of a toy in the runtime's own integers, in dB: 4-bit weights leave about 15."""


class RunsElsewhere(TorchportError):
    """The artefact can only run on other machines: nothing of its runtime can be checked here."""


@dataclass
class Case:
    """One target with one toy; the program and the artefact are made when first asked for, and shared by the checks.

    Attributes:
        target: what is checked.
        toy: the model, from `torchport.testing.toys.TOYS`.
        root: an empty folder for the artefacts.
        precision: one of the target's `precisions`; a recipe of that precision makes the program.
    """

    target: Target
    toy: Toy
    root: Path
    precision: str = PLAIN
    _artifact: Artifact | TorchportError | None = field(default=None, repr=False)

    def captured(self) -> Program:
        """The toy captured anew, and changed by the recipe of the precision."""
        program = self.toy.program()
        if self.precision == PLAIN:
            return program
        from ..compress import parse, recipes
        from ..compress.base import RecipeContext

        def recipe_of(precision: str) -> str:
            found = [name for name in recipes.names() if recipes.get(name).precision == precision]
            return precision if precision in found else found[0]

        chain = parse("+".join(map(recipe_of, self.precision.split("+"))))
        return chain.apply(program, RecipeContext(program, {"model": self.feeds}), {})

    @cached_property
    def program(self) -> Program:
        """What is exported."""
        return self.captured()

    @cached_property
    def feeds(self) -> list[Arrays]:
        """Calibration feeds of one item each."""
        from .toys import EXAMPLE

        return [self.toy.feed({**EXAMPLE, "batch": 1}, seed=100 + i) for i in range(FEEDS)]

    @cached_property
    def folder(self) -> Path:
        """Where the artefact lies: a name with a space and letters beyond ASCII."""
        return self.root / "ein Gerät 模型"

    @property
    def artifact(self) -> Artifact:
        """The artefact; an export that failed raises the same error on every access."""
        if self._artifact is None:
            try:
                self._artifact = self.export(self.folder, self.program)
            except TorchportError as exc:
                self._artifact = exc
        if isinstance(self._artifact, TorchportError):
            raise self._artifact
        return self._artifact

    def export(self, folder: Path, program: Program) -> Artifact:
        """Export into a new folder, and before it what the target starts from."""
        folder.mkdir(parents=True)
        feeds = {"model": self.feeds} if self.precision != PLAIN else {}
        options = ExportOptions(recipe=self.precision, precision=self.precision, feeds=feeds)
        return Exporter().export(self.target, program, folder, options)

    def open(self, folder: Path | None = None) -> Runner:
        """Open the artefact with one thread, where it was made or from a copy.

        Raises:
            RunsElsewhere: it runs on other machines only.
        """
        if (why := self.target.fits(self.artifact)) is not None:
            raise RunsElsewhere(why)
        return self.target.open(self.artifact, folder or self.folder, self.toy.signature, threads=1)

    @cached_property
    def runner(self) -> Runner:
        """An opened runner that the checks share; it stays open."""
        return self.open()

    @cached_property
    def _reference(self) -> Runner:
        from ..targets.eager import ModuleRunner

        return ModuleRunner(self.program.graphs["model"], threads=1)

    def expected(self, feed: Arrays) -> Arrays:
        """The right answer: the toy's own, or that of the program that a recipe made of it."""
        return self.toy.expected(feed) if self.precision == PLAIN else self._reference.run(feed)

    def assert_right(self, runner: Runner, feed: Arrays) -> None:
        """The answer to a feed is the right one, within what the precision allows."""
        self.assert_equal(runner.run(feed), self.expected(feed))

    def assert_equal(self, got: Arrays, wanted: Arrays) -> None:
        """Two answers agree: `max|a - b| / max|b|` within the target's tolerance, or where it states none, because it
        computes with integers, LEAST_DB of signal to noise; integers and booleans exactly.
        """
        tolerance = self.target.tolerance(self.precision)
        assert tolerance is not None or self.precision != PLAIN, f"{self.target.name} states no tolerance for {PLAIN}"
        assert list(got) == list(wanted)
        for name, right in wanted.items():
            assert got[name].shape == right.shape, f"'{name}' is {got[name].shape}, not {right.shape}"
            if right.dtype.kind != "f":
                assert np.array_equal(got[name], right), f"'{name}' differs"
                continue
            error = np.abs(got[name].astype(np.float64) - right)
            if tolerance is None:
                signal, noise = float(np.square(right, dtype=np.float64).sum()), float(np.square(error).sum())
                ratio = 10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30))
                assert ratio >= LEAST_DB, f"'{name}' has {decibels(ratio)} of signal to noise, {LEAST_DB:.0f} asked for"
                continue
            worst = float(error.max(initial=0) / max(np.abs(right).max(initial=0), 1e-30))
            assert worst <= tolerance, f"'{name}' is off by {worst:.1e} of the greatest value, allowed {tolerance:.0e}"
