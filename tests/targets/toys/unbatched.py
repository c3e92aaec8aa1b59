"""A runtime whose tensors have no batch axis: ncnn."""

from __future__ import annotations

from typing import Any

import msgspec

from torchport.errors import RunError
from torchport.feed import is_batched
from torchport.frontend.program import GraphProgram
from torchport.targets.base import Arrays
from torchport.targets.eager import Eager, EagerRunner
from torchport.types import TensorIO


class UnbatchedRunner(EagerRunner):
    """Takes one item without its batch axis, and answers one."""

    def _run(self, feed: Arrays) -> Arrays:
        native = {}
        for spec in self.signature.inputs:
            io = self.graph.io[spec.name]
            array = feed[io.name]
            dropped = io.batch == "dropped"
            if array.ndim != len(spec.shape) - dropped:
                raise RunError(f"'{spec.name}' has {array.ndim} axes")
            native[io.name] = array[None] if dropped else array
        made = super()._run(native)
        return {
            spec.name: made[spec.name][0] if self.graph.io[spec.name].batch == "dropped" else made[spec.name]
            for spec in self.signature.outputs
        }


class Unbatched(Eager):
    """As PyTorch, one item a call."""

    name = "unbatched"
    reference = False
    executes_code = False
    profiles = ("python",)
    runner = UnbatchedRunner

    def _export(self, graph: GraphProgram, *rest: Any) -> dict[str, TensorIO]:
        io = super()._export(graph, *rest)
        specs = (*graph.signature.inputs, *graph.signature.outputs)
        return io | {
            spec.name: msgspec.structs.replace(io[spec.name], batch="dropped") for spec in specs if is_batched(spec)
        }
