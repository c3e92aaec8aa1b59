"""The contract of a recipe: Program -> Program, at one of three stages, with what it may use beside the Program."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ..errors import BadInput

if TYPE_CHECKING:
    import torch

    from ..frontend.program import Arrays, GraphProgram, Program

Stage = Literal["module", "program", "target"]
"""Where a recipe acts, in the order of a chain: on the eager modules, which are then captured anew; on the exported
graphs; in the target's own converter, which is only told the precision."""

FEWEST_FEEDS = 16
"""Calibration items that a recipe which learns from data asks for at least: fewer fix ranges and weights by accident.
"""

ENOUGH = 96
"""Items from which on a data set is split where the user gave no other data: with fewer, each part says too little."""

CALIBRATION_HINT = f"give --calibration with at least {FEWEST_FEEDS} items, or --data with at least {ENOUGH}"


def too_few(recipe: str, items: int, given: str = "") -> str:
    """That a recipe has too few calibration items, with the rule that decides how many there are.

    Args:
        items: how many there are for calibration.
        given: what the user gave, in words.
    """
    return (
        f"{recipe} learns from calibration items and needs at least {FEWEST_FEEDS}, and there are {items}{given}. "
        f"A third of --data calibrates from {ENOUGH} items on; with fewer, only what --calibration holds"
    )


@dataclass(frozen=True)
class RecipeContext:
    """What recipes may use beside the Program.

    Attributes:
        teacher: the Program as captured, in full precision.
        feeds: graph -> calibration feeds, each of one item (or of one call, where a host step drives the graph).
        labels: the class index of each feed of the graph `model`, where the task and the data tell them; else empty.
        seed: of every random choice.
        deadline: `time.monotonic()` at which training stops and what there is so far is taken; None is never.
        store: folder for what long work keeps to go on from after an interruption; None keeps nothing.
        tell: hears of progress.
    """

    teacher: Program
    feeds: Mapping[str, Sequence[Arrays]] = field(default_factory=dict)
    labels: Sequence[int] = ()
    seed: int = 0
    deadline: float | None = None
    store: Path | None = None
    tell: Callable[[str], None] = lambda text: None

    def left(self) -> float:
        """Seconds until the deadline."""
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

    def need_feeds(self, graph: str, recipe: str) -> Sequence[Arrays]:
        """The calibration feeds of a graph.

        Raises:
            BadInput: there are too few to learn anything from.
        """
        found = self.feeds.get(graph, ())
        if len(found) < FEWEST_FEEDS:
            raise BadInput(too_few(recipe, len(found)), CALIBRATION_HINT)
        return found


class Recipe(abc.ABC):
    """One way to make a model smaller or faster.

    Class attributes:
        name, about: as in the table.
        stage: where it acts.
        precision: what a target must list in its `precisions` to lower the result; None leaves it as it was.
        modules: what it imports beyond torch, by import names.
        needs_data: whether it calibrates or trains on the user's data.
        strengths: what `name@strength` may say, mildest first; empty where there is nothing to say. Between the mildest
        and the strongest
            anything may be said, but to a target, which knows these only.
        usual: the strength that goes without saying and is part of no name; where it is None, that is the middle one,
        and is named. plain: part of every deploy that names no recipes.
        searched: whether the search tries it by itself.
        joins: whether its precision is that of what stays in float32, and so can follow a recipe that makes integers.
        recovery: name of the recipe that recovers what this one loses, where there is one; the two are searched
        together.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    stage: ClassVar[Stage] = "program"
    precision: ClassVar[str | None] = None
    modules: ClassVar[tuple[str, ...]] = ()
    needs_data: ClassVar[bool] = False
    strengths: ClassVar[tuple[float, ...]] = ()
    usual: ClassVar[float | None] = None
    plain: ClassVar[bool] = False
    searched: ClassVar[bool] = True
    joins: ClassVar[bool] = False
    recovery: ClassVar[str | None] = None

    @property
    def integers(self) -> bool:
        """Whether it makes integers, of weights at least; what it leaves in float32 can be settled besides."""
        return (self.precision or "").startswith("int")

    @abc.abstractmethod
    def apply(self, program: Program, work: RecipeContext, strength: float | None) -> Program:
        """The compressed Program, with the same signatures; graphs other than `program.weighted` pass unchanged.

        Raises:
            UnsupportedByTarget: the model is beyond the recipe; names the layer.
            BadInput: it needs calibration data, and there is none or too little.
        """


class ModuleRecipe(Recipe):
    """What changes the eager module of every weighted graph, which is then captured anew."""

    stage = "module"

    def apply(self, program: Program, work: RecipeContext, strength: float | None) -> Program:
        """The same graphs of changed modules.

        Raises:
            UnsupportedByTarget: there is no eager module; or see `changed`.
            BadInput: see `changed`.
        """
        from .layers import module_of
        from .pt2e import recapture

        return program.changed(
            lambda graph: recapture(graph, self.changed(module_of(graph, self.name), graph, work, strength or 0.0))
        )

    @abc.abstractmethod
    def changed(
        self, module: torch.nn.Module, graph: GraphProgram, work: RecipeContext, strength: float
    ) -> torch.nn.Module:
        """The changed module.

        Args:
            module: the graph's own, in a copy that may be changed in place; its parameters ask for no gradients.
            strength: 0 where the recipe knows none.

        Raises:
            UnsupportedByTarget: the model is beyond the recipe; names the layer.
            BadInput: it needs calibration data, and there is none or too little.
        """


class ProgramRecipe(Recipe):
    """What makes a quantised module of every weighted graph's exported program, which is then captured anew."""

    stage = "program"

    def apply(self, program: Program, work: RecipeContext, strength: float | None) -> Program:
        """The same graphs, quantised.

        Raises:
            UnsupportedByTarget: a graph was not exported, or cannot be quantised; or see `converted`.
            BadInput: see `converted`.
        """
        from .pt2e import quantise

        return quantise(program, self.name, lambda graph: self.converted(graph, work, strength or 0.0))

    @abc.abstractmethod
    def converted(self, graph: GraphProgram, work: RecipeContext, strength: float) -> torch.nn.Module:
        """The graph's module with quantised operators.

        Args:
            strength: 0 where the recipe knows none.

        Raises:
            UnsupportedByTarget: the graph is beyond the recipe.
            BadInput: it needs calibration data, and there is none or too little.
        """


class TargetRecipe(Recipe):
    """What a target's own converter or quantiser does: it is told the precision, and the Program stays as it is."""

    stage = "target"

    def apply(self, program: Program, work: RecipeContext, strength: float | None) -> Program:
        """The Program itself.

        Raises:
            BadInput: it needs calibration data, and there is none or too little.
        """
        if self.needs_data:
            for graph in program.weighted:
                work.need_feeds(graph, self.name)
        return program
