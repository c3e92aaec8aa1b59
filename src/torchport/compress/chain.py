"""Recipes one after the other: `prune@0.5+distil+int8_weights`, from the eager module to the target's converter."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import MissingDependency, UsageError
from ..types import PLAIN
from .base import Recipe, RecipeContext
from .registry import recipes

if TYPE_CHECKING:
    from ..frontend.program import Program

STAGES = ("module", "program", "target")


@dataclass(frozen=True)
class Link:
    """One recipe of a chain, and how strongly it acts."""

    recipe: Recipe
    strength: float | None = None

    @property
    def name(self) -> str:
        """`recipe` or `recipe@strength`."""
        return self.recipe.name if self.strength is None else f"{self.recipe.name}@{self.strength:g}"


@dataclass(frozen=True)
class Chain:
    """Recipes in the order in which they act; without any it is the model as trained."""

    links: tuple[Link, ...] = ()

    @property
    def name(self) -> str:
        """The links' names joined by `+`: part of a variant's id and of its folder's name."""
        return "+".join(link.name for link in self.links) or PLAIN

    @property
    def precision(self) -> str:
        """What a target must list to lower the result, such as `int8_static`, or `int8_static+bf16` where both are
        settled.
        """
        return "+".join(link.recipe.precision for link in self.links if link.recipe.precision) or PLAIN

    @property
    def strength(self) -> float | None:
        """What the target is told beside the precision; None is what is usual there."""
        return next(
            (link.strength for link in self.links if link.recipe.stage == "target" and link.strength is not None), None
        )

    @property
    def needs_data(self) -> bool:
        """Whether any link learns from calibration data."""
        return any(link.recipe.needs_data for link in self.links)

    @property
    def plain(self) -> bool:
        """Whether it is part of every deploy that names no recipes: nothing of the model is changed but how floats are
        stored.
        """
        return all(link.recipe.plain for link in self.links)

    @property
    def baseline(self) -> str:
        """The name of the chain whose Program its artefacts are held against: without what only the target does."""
        return Chain(tuple(link for link in self.links if link.recipe.stage != "target")).name

    @property
    def quantised(self) -> bool:
        """Whether the Program itself holds integers, which runtimes multiply each in their own way."""
        return any(link.recipe.stage == "program" and link.recipe.precision for link in self.links)

    def apply(self, program: Program, work: RecipeContext, made: Mapping[str, Program] | None = None) -> Program:
        """The compressed Program, from the longest beginning of the chain that was made already.

        Args:
            program: as captured.
            made: chain name -> Program.

        Raises:
            MissingDependency: a recipe's package is not installed.
            TorchportError: see `Recipe.apply`.
        """
        known = made or {}
        start = next((count for count in range(len(self.links), 0, -1) if Chain(self.links[:count]).name in known), 0)
        begun = known[Chain(self.links[:start]).name] if start else program

        def one(so_far: Program, count: int) -> Program:
            link, name = self.links[count], Chain(self.links[: count + 1]).name
            work.tell(name)
            applied = replace(link.recipe.apply(so_far, work, link.strength), recipe=name)
            gc.collect()  # what a recipe leaves behind are graphs, whose nodes refer to each other and to weights
            return applied

        for link in self.links[start:]:  # before the first of them works for half an hour
            if absent := [module for module in link.recipe.modules if find_spec(module) is None]:
                raise MissingDependency(
                    f"{link.recipe.name}: {', '.join(absent)} not installed", recipes.install_hint(link.recipe.name)
                )
        return reduce(one, range(start, len(self.links)), begun)


def parse(text: str) -> Chain:
    """A chain from its name.

    Raises:
        UsageError: an unknown recipe or strength, recipes out of order, or two that both settle the precision.
    """
    links = []
    for part in text.split("+"):
        name, _, amount = part.strip().partition("@")
        recipe = recipes.get(name)
        links.append(Link(recipe, _strength(recipe, amount)))
    stages = [STAGES.index(link.recipe.stage) for link in links]
    if stages != sorted(stages):
        raise UsageError(
            f"recipe {text}: what acts on the module comes first, then what acts on the graphs, then what the target "
            "does",
            f"try {'+'.join(link.name for _, link in sorted(zip(stages, links, strict=True), key=lambda one: one[0]))}",
        )
    settling = [link for link in links if link.recipe.precision not in (None, PLAIN)]
    joined = [(link.recipe.integers, link.recipe.joins) for link in settling] == [(True, False), (False, True)]
    if len(settling) > 1 and not joined:
        raise UsageError(
            f"recipe {text}: {' and '.join(link.name for link in settling)} both settle the precision",
            "keep one of them",
        )
    return Chain(tuple(link for link in links if link.recipe.name != PLAIN))


def _strength(recipe: Recipe, text: str) -> float | None:
    if not recipe.strengths:
        if text:
            raise UsageError(f"recipe {recipe.name} has no strength", f"write {recipe.name}")
        return None
    if not text:
        return None if recipe.usual is not None else recipe.strengths[len(recipe.strengths) // 2]
    low, high = min(recipe.strengths), max(recipe.strengths)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if recipe.stage == "target" and value not in recipe.strengths:
        raise UsageError(
            f"recipe {recipe.name}@{text}: not a strength",
            f"it takes {', '.join(f'{one:g}' for one in recipe.strengths)}",
        )
    if not low <= value <= high:
        raise UsageError(f"recipe {recipe.name}@{text}: not a strength", f"it takes {low:g} to {high:g}")
    return None if value == recipe.usual else value
