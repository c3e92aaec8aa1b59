"""TorchScript: `.pt` files for LibTorch and older PyTorch. Upstream has deprecated it in favour of torch.export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..types import GraphFile, TensorIO
from .base import ExportOptions, Target, plain_io
from .eager import TorchRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from ..frontend.program import GraphProgram


class TorchScriptRunner(TorchRunner):
    """Opens a `.pt` file and packs its weights for this CPU (on EfficientNet-Lite0 5-10 % faster, 0.1 s to open)."""

    def _load(self, path: Path) -> torch.nn.Module:
        import torch

        from ..frontend.safe import load_scripted
        from ..frontend.script import quiet_jit

        with quiet_jit():
            try:
                return torch.jit.optimize_for_inference(load_scripted(path))
            except RuntimeError:  # it breaks on a convolution whose padding is a word, among others
                return load_scripted(path)


class TorchScript(Target):
    """Scripted where the compiler understands the module, else traced; frozen."""

    name = "torchscript"
    suffix = "pt"
    module = "torch"
    packages = ("torch",)
    executes_code = True
    runner = TorchScriptRunner

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        from ..frontend.script import to_archive, to_script
        from ..system.disk import write_file

        write_file(entry, to_archive(to_script(graph, self.name, note)))
        return plain_io(graph.signature)
