"""The ONNX files of a Bundle, for the programs in its README: onnxruntime is the one runtime that Python, node and
browsers share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ...types import Artifact, FixedBatch, GraphFile


@dataclass(frozen=True)
class OnnxFiles:
    """One ONNX variant: `paths` holds graph name -> path in the Bundle, `graphs` how its tensors are called."""

    paths: Mapping[str, str]
    graphs: Mapping[str, GraphFile]

    def name(self, graph: str, tensor: str) -> str:
        """The file's own name of a tensor of the signature, quoted for Python and JavaScript."""
        return json.dumps(self.graphs[graph].io[tensor].name)


def find(artifacts: Mapping[str, Artifact]) -> OnnxFiles | None:
    """The ONNX variant that answers one item as it is, at the highest precision; None where there is none.

    Args:
        artifacts: variant id -> artefact.
    """
    plain = {
        name: one
        for name, one in artifacts.items()
        if one.target == "onnx" and not any(map(_takes_no_single, one.graphs.values()))
    }
    if not plain:
        return None
    best = min(plain, key=lambda name: (plain[name].precision != "fp32", name))
    graphs = plain[best].graphs
    return OnnxFiles({name: f"variants/{best}/{graph.entry}" for name, graph in graphs.items()}, graphs)


def _takes_no_single(graph: GraphFile) -> bool:
    """Whether one item has to be adapted before the file takes it."""
    return any(
        (isinstance(io.batch, FixedBatch) and 1 not in io.batch.fixed) or io.batch == "dropped" or io.sizes
        for io in graph.io.values()
    )
