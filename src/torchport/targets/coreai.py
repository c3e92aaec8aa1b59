"""Core AI: `.aimodel` folders for Apple's systems of 2026 on.

Apple's package converts the exported program, and holds a runtime for the CPU that answers on Linux as well: what is
verified here is the program that Apple's systems compile for their own processors.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import re
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..errors import UnsupportedByTarget
from ..system.disk import temporary, write_file
from ..system.noise import quiet, redirected
from ..types import TensorIO, Used
from .base import Arrays, ExportOptions, Target, plain_io
from .shared.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.export import ExportedProgram

    from ..frontend.program import GraphProgram
    from ..types import GraphFile

T = TypeVar("T")

_FUNCTION = "main"
_NARROWER = {"int64": "int32", "float64": "float32"}
"""Dtypes that the converter narrows -> what it makes of them."""


class CoreAiRunner(Runner):
    """The program compiled for this CPU, and its one function; tensors go by name.

    The runtime is asynchronous: a thread of its own waits for it, so that callers may be within a loop or not.
    """

    def _open(self, path: Path) -> None:
        from coreai.authoring import AIModelAsset
        from coreai.runtime import NDArray

        self._need_cpu()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="coreai", daemon=True).start()
        self._array, self._stack = NDArray, contextlib.AsyncExitStack()
        self._function: Any = None
        with redirected(None):  # it tells which function it loads
            opened = AIModelAsset.load(path.parent).executable()
            model = self._wait(self._stack.enter_async_context(opened))
            self._function = model.load_function(_FUNCTION)
        self.used = Used(
            library="coreai", version=importlib.metadata.version("coreai-core"), provider="cpu", precision="fp32"
        )

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self, feed: Arrays) -> Arrays:
        answer = self._wait(self._function({name: self._array(array) for name, array in feed.items()}))
        return {name: array.numpy().copy() for name, array in answer.items()}

    def _close(self) -> None:
        if self._function is None:
            return
        self._function = None
        self._wait(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)


class CoreAi(Target):
    """One `.aimodel` a graph, of any size that was captured as free."""

    name = "coreai"
    suffix = "aimodel/main.mlirb"
    module = "coreai"
    packages = ("coreai-core",)
    build_modules = ("torch", "coreai_torch")
    profiles = ("ios",)
    automatic = False
    opens = "same"  # a beta
    executes_code = True  # a program may carry kernels of its own, and is compiled as it is opened
    xfail = {"check_export[scripted]": "only TorchScript captures a loop over a dynamic length"}
    runner = CoreAiRunner

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        exported = graph.need_exported(self.name)
        with temporary() as folder, quiet(printed=True), redirected(None):
            made = folder / f"{graph.name}.aimodel"
            _converted(exported, graph).save_asset(made)
            entry.parent.mkdir()
            for path in made.iterdir():
                content = path.read_bytes()
                write_file(entry.with_name(path.name), _undated(content) if path.suffix == ".json" else content)
        return plain_io(graph.signature, narrower=_NARROWER)


def _converted(exported: ExportedProgram, graph: GraphProgram) -> Any:
    """Core AI's program of a graph, its tensors named as captured.

    Raises:
        UnsupportedByTarget: names the operators that Core AI does not have.
    """
    from coreai_torch import TorchConverter, get_decomp_table

    from ..frontend.strip import scrub

    decomposed = scrub(exported.run_decompositions(get_decomp_table()))
    for node in decomposed.graph.nodes:
        node.meta.pop("stack_trace", None)  # its paths would be taken to begin where this process works
    try:
        return (
            TorchConverter()
            .add_exported_program(
                decomposed,
                input_names=[spec.name for spec in graph.signature.inputs],
                output_names=[spec.name for spec in graph.signature.outputs],
            )
            .to_coreai()
        )
    except ValueError as exc:
        if not (missing := sorted(set(re.findall(r"aten\.[\w.]*\w", str(exc))))):
            raise
        raise UnsupportedByTarget(
            f"coreai has no {', '.join(missing)}, which graph '{graph.name}' needs",
            "write the model without it, or use another target",
        ) from exc


def _undated(metadata: bytes) -> bytes:
    """What stands beside the program, without when it was made, which no two exports share."""
    told = msgspec.json.decode(metadata)
    told["creationDate"] = "19800101T000000Z"
    return msgspec.json.encode(dict(sorted(told.items())))
