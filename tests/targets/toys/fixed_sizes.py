"""A runtime that takes a few sizes of every axis: LiteRT on texts, and on pictures by height and width."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from torchport.errors import BadInput, RunError, UnsupportedByTarget
from torchport.frontend.program import GraphProgram
from torchport.targets.base import Arrays
from torchport.targets.eager import Eager, EagerRunner, ModuleRunner
from torchport.targets.shared.adapt import from_native, sizes_of, to_native
from torchport.types import FixedBatch, GraphFile, Signature, TensorIO, TensorSpec

SIZES, BATCHES = (16, 32, 64), (1, 4)


class FixedSizesRunner(EagerRunner):
    """Fails, as the runtime would, on any size that the file was not made for."""

    def _run(self, feed: Arrays) -> Arrays:
        for spec in self.signature.inputs:
            io = self.graph.io[spec.name]
            shape = feed[io.name].shape
            allowed = {**io.sizes, **({0: io.batch.fixed} if isinstance(io.batch, FixedBatch) else {})}
            if any(shape[axis] not in sizes for axis, sizes in allowed.items()):
                raise RunError(f"{list(shape)} is none of the sizes that this file was made for")
        return super()._run(feed)


class FixedSizes(Eager):
    """As PyTorch, at fixed sizes: a model whose answers the padding changes is declined."""

    name = "fixed_sizes"
    reference = False
    executes_code = False
    profiles = ("python",)
    runner = FixedSizesRunner
    xfail = {"check_export[sequence]": "a softmax over the length sees the padding"}

    def _export(self, graph: GraphProgram, *rest: Any) -> dict[str, TensorIO]:
        plain = super()._export(graph, *rest)
        io = {spec.name: _spelled(spec, plain[spec.name]) for spec in graph.signature.inputs}
        io |= {spec.name: _spelled(spec, plain[spec.name]) for spec in graph.signature.outputs}
        if not _unchanged(graph, io):
            raise UnsupportedByTarget(f"fixed_sizes: padding changes what graph '{graph.name}' answers", "use another")
        return io


def _spelled(spec: TensorSpec, io: TensorIO) -> TensorIO:
    free = {axis: SIZES for axis, dim in enumerate(spec.shape) if isinstance(dim, str) and dim != "batch"}
    batch = FixedBatch(fixed=BATCHES) if io.batch == "dynamic" else io.batch
    return msgspec.structs.replace(io, sizes=free, batch=batch)


def _unchanged(graph: GraphProgram, io: dict[str, TensorIO]) -> bool:
    """Whether the example's answer is the same when its inputs are padded; not where it is beyond the sizes."""
    signature: Signature = graph.signature
    with ModuleRunner(graph) as reference:
        right = reference.run(graph.examples)
        try:
            native = {spec.name: to_native(spec, io[spec.name], graph.examples[spec.name]) for spec in signature.inputs}
        except BadInput:
            return False
        bare = ModuleRunner(graph)
        bare.graph = GraphFile(entry="", files=(), io=bare.graph.io)
        padded = bare.run(native)
    sizes = sizes_of(signature, graph.examples)
    return all(
        np.allclose(from_native(spec, io[spec.name], padded[spec.name], sizes), right[spec.name], atol=1e-5)
        for spec in signature.outputs
    )
