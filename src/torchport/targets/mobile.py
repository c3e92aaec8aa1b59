"""PyTorch Mobile: `.ptl` files for apps that still carry the lite interpreter."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ..types import GraphFile, TensorIO
from .base import ExportOptions, Target, plain_io
from .eager import TorchRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from ..frontend.program import GraphProgram


class MobileRunner(TorchRunner):
    """Runs a `.ptl` file in the lite interpreter."""

    def _load(self, path: Path) -> torch.nn.Module:
        from torch.jit.mobile import _load_for_lite_interpreter

        from ..frontend.script import quiet_jit

        with quiet_jit():  # from memory: the native reader does not take every file name
            module: torch.nn.Module = _load_for_lite_interpreter(io.BytesIO(path.read_bytes()))  # type: ignore[no-untyped-call]
        return module


class Mobile(Target):
    """The graph in TorchScript, with the bytecode of the lite interpreter beside its code."""

    name = "mobile"
    suffix = "ptl"
    module = "torch"
    packages = ("torch",)
    profiles = ("android", "ios")
    executes_code = True
    runner = MobileRunner

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        import torch

        from ..frontend.script import quiet_jit, to_archive, to_script
        from ..system.disk import write_file

        archive = to_archive(to_script(graph, self.name, note))
        with quiet_jit():
            # read back from its archive, a module has lost the absolute paths and the process's own class names
            module = torch.jit.load(io.BytesIO(archive))  # type: ignore[no-untyped-call]
            write_file(entry, _optimized(module, note)._save_to_buffer_for_lite_interpreter())
        return plain_io(graph.signature)


def _optimized(module: torch.jit.ScriptModule, note: Callable[[str], None]) -> torch.jit.ScriptModule:
    """The module with XNNPACK's packed operators, or as it is where this PyTorch was built without them."""
    from torch.utils.mobile_optimizer import optimize_for_mobile

    try:
        optimized: torch.jit.ScriptModule = optimize_for_mobile(module)
    except RuntimeError as exc:
        if "xnnpack" not in str(exc).lower():
            raise
        note("this build of PyTorch has no XNNPACK: saved without optimize_for_mobile")
        return module
    return optimized
