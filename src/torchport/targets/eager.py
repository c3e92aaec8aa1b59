"""Eager PyTorch: the reference that every other target is held against.

Where torch.export captured the graph the file is a `.pt2`; where only TorchScript was reached it is a `.pt`.
"""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..types import GraphFile, TensorIO, Used
from .base import Arrays, ExportOptions, Target, plain_io
from .shared.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from ..frontend.program import GraphProgram


class TorchRunner(Runner):
    """Runs a torch module in inference mode: inputs by position in the signature's order, outputs by name.

    A subclass gives the module in `_load`.
    """

    def _load(self, path: Path) -> torch.nn.Module:
        """The module to run, from the entry file."""
        raise NotImplementedError

    def _open(self, path: Path) -> None:
        import torch

        self._need_cpu()
        self._module: Any = self._load(path)
        exact = torch.get_float32_matmul_precision() == "highest"
        with _threads(self.threads):
            self.used = Used(
                library="torch",
                version=str(torch.__version__),
                provider="cpu",
                precision="fp32" if exact else "bf16",
                threads=torch.get_num_threads(),
                instruction_set=torch.backends.cpu.get_cpu_capability(),
            )

    def _run(self, feed: Arrays) -> Arrays:
        import torch

        from ..frontend.program import flatten_outputs

        with torch.inference_mode(), _threads(self.threads):
            # copied: a forward that writes into its input must not change the caller's array
            answer = self._module(*(torch.tensor(array) for array in feed.values()))
            return {name: np.asarray(tensor) for name, tensor in flatten_outputs(answer).items()}

    def _close(self) -> None:
        self._module = None


@contextlib.contextmanager
def _threads(wanted: int | None) -> Iterator[None]:
    """Run with that many threads. The number is the whole process's, so that the caller's own comes back after each
    call (1 us).
    """
    import torch

    before = torch.get_num_threads()
    if wanted is None or wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_reader() -> None:
    """Import torch, and what it imports to read a `.pt2` whose dimensions are free."""
    for module in ("torch._export.serde.serialize", "torch.export._trace", "torch._inductor.sizevars"):
        importlib.import_module(module)


class EagerRunner(TorchRunner):
    """Opens the reference file; nothing in a `.pt2` is executed while it loads."""

    def _load(self, path: Path) -> torch.nn.Module:
        from ..frontend.safe import load_exported, load_scripted

        return load_exported(path).module(check_guards=False) if path.suffix == ".pt2" else load_scripted(path)


class ModuleRunner(TorchRunner):
    """A captured graph run from memory: the reference answers while a deploy is under way."""

    def __init__(self, graph: GraphProgram, *, threads: int | None = None) -> None:
        self._captured = graph
        super().__init__(
            graph.signature, GraphFile(entry="", files=(), io=plain_io(graph.signature)), Path(), threads=threads
        )

    def _load(self, path: Path) -> torch.nn.Module:
        return self._captured.callable()

    def _run(self, feed: Arrays) -> Arrays:
        from ..frontend.modes import plain_attention

        with plain_attention():
            return super()._run(feed)


class Eager(Target):
    """The reference: what was captured, run by PyTorch itself."""

    name = "eager"
    suffix = "pt2"
    module = "torch"
    packages = ("torch",)
    tolerances = {("fp32", "cpu"): 1e-6}
    reference = True
    executes_code = True  # a scripted source stays TorchScript, whose forward can write files
    runner = EagerRunner

    def _suffix(self, graph: GraphProgram) -> str:
        return self.suffix if graph.exported is not None else "pt"

    def load_library(self) -> None:
        """See `load_reader`."""
        load_reader()

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        from ..frontend.strip import save_exported
        from ..system.disk import write_file

        if graph.exported is not None:
            save_exported(graph.exported, entry)
        else:
            import torch

            from ..frontend.script import to_archive

            assert isinstance(graph.module, torch.jit.ScriptModule), (
                "what torch.export did not capture was scripted or traced"
            )
            write_file(entry, to_archive(graph.module))
        return plain_io(graph.signature)
