"""The contract of a recipe: Program -> Program, with the precision that targets must offer to lower it."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ..capture.program import Program


class Recipe(abc.ABC):
    """One way to make a model smaller or faster.

    Class attributes:
        name, about: as in the table.
        precision: what a target must list in its `precisions` to lower the result.
        needs_data: whether it calibrates or trains on the user's data.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    precision: ClassVar[str]
    needs_data: ClassVar[bool] = False

    @abc.abstractmethod
    def apply(self, program: Program) -> Program:
        """The compressed Program; graphs other than `model` pass unchanged."""
