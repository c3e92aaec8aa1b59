"""A target that starts from one whose name sorts after its own, and that from another: MNN from ONNX, and beyond."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from torchport.errors import ExportError
from torchport.frontend.program import GraphProgram
from torchport.targets.base import ExportOptions
from torchport.targets.torchscript import TorchScript
from torchport.types import GraphFile, TensorIO


class Between(TorchScript):
    """TorchScript, from the target `torchscript`."""

    name = "between"
    profiles = ("python",)
    executes_code = False

    def needs(self, precision: str) -> tuple[str, str] | None:
        """What lies in the file is TorchScript's already."""
        return "torchscript", precision

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        if parent is None:
            raise ExportError(f"{self.name} was handed no parent")
        shutil.copyfile(entry.parent / "parent" / parent.entry, entry)
        return parent.io


class Ahead(Between):
    """TorchScript, from `between`, which starts from `torchscript`."""

    name = "ahead"

    def needs(self, precision: str) -> tuple[str, str] | None:
        """Its parent has a parent."""
        return "between", precision
