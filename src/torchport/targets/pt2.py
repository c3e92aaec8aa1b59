"""torch.export programs: `.pt2` files for places where PyTorch itself is the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..types import GraphFile, TensorIO
from .base import Arrays, ExportOptions, Target, plain_io
from .eager import TorchRunner, load_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from ..frontend.layers import Layer
    from ..frontend.program import GraphProgram


class Pt2Runner(TorchRunner):
    """Opens a `.pt2` file without running anything in it, and interprets its graph."""

    def _load(self, path: Path) -> torch.nn.Module:
        from ..frontend.safe import load_exported

        return load_exported(path).module(check_guards=False)  # the signature says what it takes


class Pt2(Target):
    """The exported program as it was captured, saved without paths or example data."""

    name = "pt2"
    suffix = "pt2"
    module = "torch"
    packages = ("torch",)
    xfail = {"check_export[scripted]": "only TorchScript captures a loop over a dynamic length"}
    opens = "older"
    runner = Pt2Runner

    def load_library(self) -> None:
        """See `load_reader`."""
        load_reader()

    def layers(self, graph: GraphFile, folder: Path, feed: Arrays) -> list[Layer] | None:
        """Every value, operator by operator."""
        from ..frontend.layers import layers_of
        from ..frontend.safe import load_exported

        return layers_of(load_exported(folder / graph.entry), feed)

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        from ..frontend.strip import save_exported

        save_exported(graph.need_exported(self.name), entry)
        return plain_io(graph.signature)
