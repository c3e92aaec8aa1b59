"""What a manifest may say of the files of a variant: graphs, how they spell tensors, and the machines they are for."""

from __future__ import annotations

import math
from itertools import pairwise

from ..errors import BundleError
from ..feed import length
from ..tasks import plan
from ..types import IMPORTS, Artifact, BuiltFor, FixedBatch, GraphFile, Signature, TensorIO, TensorSpec
from .checks import Checks, check_inside
from .grammar import DISTRUST, DTYPES, MOST_SIZE, printable


class ArtifactRules(Checks):
    """The rules of `variants/<id>/` and `reference/`."""

    def _artifact(self, folder: str, artifact: Artifact, listed: set[str]) -> None:
        self._ids("name", artifact.target, artifact.recipe, artifact.precision)
        self._ids("precision", *(graph.precision for graph in artifact.graphs.values() if graph.precision is not None))
        for module in artifact.imports:
            if module not in IMPORTS:
                raise BundleError(
                    f"{self._where}: {folder} wants the module '{printable(module, 60)}' to be imported; only "
                    f"{', '.join(IMPORTS)} may be",
                    DISTRUST,
                )
        for package, version in artifact.requires.items():
            self._text("a package", package)
            self._text("a version", version)
        steps, needed = self._manifest.steps, set[str]()
        if folder != "reference":
            needed = {*plan.used(steps)} - (artifact.declined.keys() & {*plan.optional(steps)})
        for name, why in artifact.declined.items():
            self._text(f"why {folder} lacks a graph", why)
            if name in artifact.graphs or name not in plan.optional(steps):
                self._broken(f"{folder} cannot do without graph '{printable(name, 60)}'")
        for name in needed | {*artifact.graphs}:
            if name not in artifact.graphs or name not in self._manifest.graphs:
                self._broken(f"{folder} does not fit graph '{printable(name, 60)}'")
            self._graph(folder, name, artifact.graphs[name], listed)
        if artifact.built_for is not None:
            self._built_for(artifact.built_for)

    def _graph(self, folder: str, name: str, graph: GraphFile, listed: set[str]) -> None:
        for path in (graph.entry, *graph.files):
            check_inside(path, self._where)
            if f"{folder}/{path}" not in listed:
                self._broken(f"{folder} names {path}, which is not listed")
        if graph.entry not in graph.files or len({*graph.files}) != len(graph.files):
            self._broken(f"{folder} does not name each file of graph '{name}' once")
        signature = self._manifest.graphs[name]
        specs = {spec.name: spec for spec in (*signature.inputs, *signature.outputs)}
        if specs.keys() != graph.io.keys():
            self._broken(f"{folder} does not fit graph '{name}'")
        for side in (signature.inputs, signature.outputs):
            self._unique(f"tensors of {folder}", (graph.io[spec.name].name for spec in side))
        for spec in specs.values():
            self._io(f"'{spec.name}' in {folder}", spec, graph.io[spec.name])

        for side in (signature.inputs, signature.outputs):
            self._sizes(folder, side, graph, signature)

    def _built_for(self, machines: BuiltFor) -> None:
        for names in (machines.systems, machines.architectures, machines.instruction_sets):
            self._count("names of machines", names)
            self._ids("machine", *names)

    def _sizes(self, folder: str, side: tuple[TensorSpec, ...], graph: GraphFile, signature: Signature) -> None:
        """Tensors of one side that share a dimension are padded alike, and an output can be cut back."""
        known: dict[str, tuple[int, ...]] = {}
        dims = {dim: 1 for spec in signature.inputs for dim in spec.shape if isinstance(dim, str)}
        for spec in side:
            sizes = graph.io[spec.name].sizes
            for axis, dim in enumerate(spec.shape):
                if isinstance(dim, str) and known.setdefault(dim, sizes.get(axis, ())) != sizes.get(axis, ()):
                    self._broken(f"{folder} pads '{printable(dim, 60)}' in two ways")
                if axis in sizes and length(dim, dims) is None:
                    self._broken(f"{folder} pads '{printable(str(dim), 60)}', which no input tells the length of")

    def _io(self, what: str, spec: TensorSpec, io: TensorIO) -> None:
        rank = len(spec.shape)
        self._names("tensor", io.name)
        if io.dtype not in DTYPES:
            self._broken(f"{what} has the dtype '{printable(io.dtype, 40)}'")
        if io.layout is not None and sorted(io.layout) != list(range(rank)):
            self._broken(f"{what} has a layout that is not an order of its {rank} axes")
        if io.max_shape is not None and (
            len(io.max_shape) != rank or not all(1 <= size <= MOST_SIZE for size in io.max_shape)
        ):
            self._broken(f"{what} has a max_shape that does not fit its {rank} axes")
        if isinstance(io.batch, FixedBatch) and not (rank and self._ascend(io.batch.fixed, 1 << 20)):
            self._broken(f"{what} has fixed batches that do not ascend from 1 or more")
        if io.batch == "dropped" and (
            not rank or spec.shape[0] not in ("batch", 1) or (io.layout is not None and io.layout[0] != 0)
        ):
            self._broken(f"{what} drops a batch that is not its first axis")
        if not math.isfinite(io.pad):
            self._broken(f"{what} is padded with no number")
        for axis, fixed in io.sizes.items():
            own = spec.shape[axis] if 0 <= axis < rank else "batch"
            if own == "batch" or not self._ascend(fixed, 1 << 30) or (isinstance(own, int) and own > fixed[-1]):
                self._broken(f"{what} has sizes that do not ascend from 1 or more, or that are of no axis")

    def _ascend(self, sizes: tuple[int, ...], most: int) -> bool:
        self._count("sizes of an axis", sizes)
        return bool(sizes) and sizes[0] >= 1 and sizes[-1] <= most and all(a < b for a, b in pairwise(sizes))
