"""Which chains of recipes to try, found while trying: cheap looks first, and only what keeps the budget goes on.

Successive halving over chain x target: what acts on the module is judged by the answers of its own Program, strength by
strength from the middle outwards, and only the strongest that keeps the budget is quantised further; then every row is
judged by its answers, its size and a short timing; what is left is measured properly. Each one that was left out keeps
its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..compress import Chain, Link, Recipe, RecipeContext, parse, recipes
from ..errors import MissingDependency, TorchportError
from ..types import PLAIN


@dataclass(frozen=True)
class Evaluation:
    """What a chain's own Program showed: `reason` says why it goes no further, None that its answers keep the budget;
    not `tried` where the time was up before.
    """

    chain: Chain
    reason: str | None = None
    tried: bool = True

    @property
    def keeps(self) -> bool:
        """Whether it goes on."""
        return self.reason is None


@dataclass
class Search:
    """One search under way.

    Attributes:
        evaluate: makes a chain's Program and judges its answers on the selection items.
        work: for the deadline, and to see whether there is calibration data.
        tell: hears of what is tried.
        taken: whether any target of the deploy offers a chain's precision; what none takes is not tried.
    """

    evaluate: Callable[[Chain], Evaluation]
    work: RecipeContext
    tell: Callable[[str], None]
    taken: Callable[[Chain], bool] = lambda chain: True
    seen: dict[str, Evaluation] = field(default_factory=dict)

    def run(self) -> list[Chain]:
        """The chains to lower: every one that quantises the model as trained, and what thins it, alone and
        quantised.
        """
        learned = any(self.work.feeds.values())
        known = [recipe for recipe in usable() if learned or not recipe.needs_data]
        bases = [Chain()]
        for recipe in known:
            if recipe.stage == "module" and not recipe.plain and self.work.left() > 0:
                bases += self._strongest(recipe)
        finals = [recipe.name for recipe in known if recipe.stage != "module"]
        finals += [f"{recipe.name}+{more.name}" for recipe in known if recipe.integers for more in known if more.joins]
        chains = [base for base in bases if base.links] + [Chain()]
        for base in bases:
            for name in finals:
                chain = parse(f"{base.name}+{name}" if base.links else name)
                if not self.taken(chain):
                    continue
                if chain.quantised and self.work.left() <= 0:
                    self.seen[chain.name] = Evaluation(chain, "out of time before it was tried", tried=False)
                elif not chain.quantised or self._evaluate(parse(chain.baseline)).keeps:
                    chains.append(chain)
        return chains

    def _strongest(self, recipe: Recipe) -> list[Chain]:
        """The strongest form of a recipe, recovered, that keeps the budget; by halves of what is left to try."""
        strengths: list[float | None] = [*recipe.strengths] or [None]
        low, high, best = 0, len(strengths), list[Chain]()
        while low < high and self.work.left() > 0:
            middle = (low + high) // 2
            name = Link(recipe, strengths[middle]).name
            chain = parse(f"{name}+{recipe.recovery}" if recipe.recovery else name)
            if self._evaluate(chain).keeps:
                best, low = [chain], middle + 1
            else:
                high = middle
        return best

    def _evaluate(self, chain: Chain) -> Evaluation:
        if chain.name not in self.seen:
            self.tell(chain.name)
            self.seen[chain.name] = self.evaluate(chain)
        return self.seen[chain.name]

    def left_out(self) -> list[Evaluation]:
        """What its own Program ruled out."""
        return [one for one in self.seen.values() if not one.keeps]


def usable() -> list[Recipe]:
    """Every recipe that the search tries and whose packages are here."""
    found = []
    for name in recipes.names():
        try:
            recipe = recipes.get(name)
        except (MissingDependency, TorchportError):
            continue
        if recipe.searched and name != PLAIN:
            found.append(recipe)
    return found
