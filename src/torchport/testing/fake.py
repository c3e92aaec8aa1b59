"""A target without a runtime: one linear layer in numpy, with an error, a delay or a failure where a test wants one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ..errors import ExportError
from ..frontend.program import Converted, GraphProgram, Program
from ..targets.base import Arrays, ExportOptions, Target, plain_io
from ..targets.shared.runner import Runner
from ..types import Signature, TensorIO, TensorSpec, Used

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..types import GraphFile

__all__ = ["FakeRunner", "FakeTarget", "fake_program"]

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 4)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 3)),),
)


class FakeGraph(GraphProgram):
    """A graph of no framework: converting it needs no PyTorch."""

    def lowered_by(self, export: Callable[..., Converted], *more: Any) -> Converted:
        """`export(self, *more)`, and nothing around it."""
        return export(self, *more)


def fake_program(batch: int = 2) -> Program:
    """A Program with a signature and examples only, for FakeTarget: `x` float32[batch, 4] -> `y` float32[batch, 3]."""
    examples = {"x": np.random.default_rng(0).standard_normal((batch, 4)).astype(np.float32)}
    return Program(
        graphs={"model": FakeGraph(name="model", signature=SIGNATURE, examples=examples)}, source={"kind": "fake"}
    )


class FakeRunner(Runner):
    """Opens the JSON entry, whose knobs say how it misbehaves, and the safetensors beside it."""

    def _open(self, path: Path) -> None:
        from safetensors.numpy import load_file

        self._knobs = json.loads(path.read_text(encoding="utf-8"))
        if self._knobs["fails"] == "open":
            raise RuntimeError("asked to fail when opened")
        self._weights: Any = load_file(path.parent / self._knobs["weights"])
        self.used = Used(
            library="numpy",
            version=np.__version__,
            provider=self.provider or self.device,
            precision="fp32",
            threads=self.threads or 1,
        )

    def _run(self, feed: Arrays) -> Arrays:
        if self._knobs["fails"] == "run":
            raise RuntimeError("asked to fail when run")
        time.sleep(self._knobs["latency_ms"] / 1000)
        y = feed["x"] @ self._weights["weight"] + self._weights["bias"]
        return {"y": y + np.float32(self._knobs["error"]) * np.abs(y).max(initial=0)}

    def _close(self) -> None:
        self._weights = None


class FakeTarget(Target):
    """A linear layer whose artefact is JSON and safetensors; a subclass with another name and knobs is another
    candidate.

    Class attributes:
        error: the `max_rel` of its outputs.
        latency_ms: how long a call sleeps.
        fails: the stage that raises.
    """

    name = "fake"
    suffix = "json"
    module = "safetensors"
    packages = ("safetensors",)
    profiles = ("python", "server")
    runner = FakeRunner

    error: ClassVar[float] = 0.0
    latency_ms: ClassVar[float] = 0.0
    fails: ClassVar[Literal["export", "open", "run"] | None] = None

    @staticmethod
    def weights() -> Arrays:
        """`weight` float32[4, 3] and `bias` float32[3]: the same for every fake."""
        random = np.random.default_rng(1)
        return {
            "weight": random.standard_normal((4, 3)).astype(np.float32),
            "bias": random.standard_normal(3).astype(np.float32),
        }

    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        from safetensors.numpy import save_file

        if self.fails == "export":
            raise ExportError("asked to fail when exported")
        weights = entry.with_suffix(".safetensors")
        save_file(self.weights(), weights)
        knobs = {"weights": weights.name, "error": self.error, "latency_ms": self.latency_ms, "fails": self.fails}
        entry.write_text(json.dumps(knobs), encoding="utf-8")
        return plain_io(graph.signature)
