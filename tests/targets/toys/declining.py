"""A target that takes no graph whose inputs have a free height: LiteRT on the preprocessing of pictures of any size."""

from __future__ import annotations

from typing import Any

from torchport.errors import UnsupportedByTarget
from torchport.frontend.program import GraphProgram
from torchport.targets.eager import Eager
from torchport.types import TensorIO


class Declining(Eager):
    """As PyTorch, but for pictures of any size."""

    name = "declining"
    reference = False
    executes_code = False
    profiles = ("python",)
    xfail = {"check_export[picture]": "a picture of any size is beyond it"}

    def _export(self, graph: GraphProgram, *rest: Any) -> dict[str, TensorIO]:
        if "height" in graph.signature.dims:
            raise UnsupportedByTarget(f"declining takes no free height, which graph '{graph.name}' has", "fix it")
        return super()._export(graph, *rest)
