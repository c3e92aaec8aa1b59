"""Graphs and the files that hold them: signatures, artefacts, and how a file spells a tensor."""

from __future__ import annotations

from typing import Literal

from .base import Value


class TensorSpec(Value, frozen=True):
    """One named tensor of a graph.

    Attributes:
        name: forward's argument name, an output's dict key, or `output_0`, `output_1`, ...
        dtype: numpy dtype name, such as `float32`, `int64`, `bool`, `uint8`.
        shape: one entry a dimension: a number is fixed, a string names a dynamic dimension.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    @property
    def free(self) -> dict[int, str]:
        """Axis -> name of each dynamic dimension."""
        return {axis: size for axis, size in enumerate(self.shape) if isinstance(size, str)}


class Bound(Value, frozen=True):
    """The sizes of a dynamic dimension: from `min` to `max`, both included (None is no end), where they are multiples
    of `multiple`.
    """

    min: int = 1
    max: int | None = None
    multiple: int = 1

    def holds(self, size: int) -> bool:
        """Whether the dimension may have this size."""
        return self.min <= size and (self.max is None or size <= self.max) and size % self.multiple == 0

    def nearest(self, size: int) -> int:
        """The size within the bound that is nearest to `size`, the smaller of two."""
        low = -(-self.min // self.multiple) * self.multiple
        wanted = max(low, round(size / self.multiple) * self.multiple)
        return wanted if self.max is None else max(low, min(wanted, self.max // self.multiple * self.multiple))

    def __str__(self) -> str:
        """As it is written in `--input`: `1..8`, `32..1024/32`, `1..any`."""
        return f"{self.min}..{'any' if self.max is None else self.max}" + (
            f"/{self.multiple}" if self.multiple > 1 else ""
        )


class Signature(Value, frozen=True):
    """Inputs and outputs of one graph, in order, with the bounds of the dynamic dimensions they name.

    A dimension called `batch` counts independent items: it is always the first one.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    dims: dict[str, Bound] = {}


class FixedBatch(Value, frozen=True):
    """A runtime that takes only these batch sizes (ascending); the Runner pads to the next one."""

    fixed: tuple[int, ...]


class TensorIO(Value, frozen=True):
    """How one tensor of the signature is spelled in one artefact. Data, so that browsers and phones apply it too.

    Axes are those of the signature, the batch among them. An input is adapted in the order of `sizes`, fixed batches,
    `dtype`, `layout`, and the dropped batch; an output in the reverse order.

    Attributes:
        name: the runtime's name of the tensor.
        dtype: the runtime's dtype; the Runner casts, range-checked, where it differs from the signature.
        layout: permutation of the signature's axes that the runtime expects, such as `[0, 2, 3, 1]`; None is the same.
        batch: `"none"` (no batch dimension), `"dynamic"`, fixed sizes, or `"dropped"`: the signature's first axis is
            not there in the runtime's tensor, which takes one item a call.
        max_shape: greatest size per axis, or None where the runtime sets no bound.
        sizes: axis -> the only sizes (ascending) that the runtime takes there. An input is padded at its end to the
            least of them that holds it, an output is cut back; tensors that share a dimension are padded alike.
        pad: what inputs are padded with.
    """

    name: str
    dtype: str
    layout: tuple[int, ...] | None = None
    batch: Literal["none", "dynamic", "dropped"] | FixedBatch = "none"
    max_shape: tuple[int, ...] | None = None
    sizes: dict[int, tuple[int, ...]] = {}
    pad: float = 0.0

    def greatest(self, axis: int) -> int | None:
        """The greatest size that the artefact takes on an axis; None where it sets no bound."""
        bounds = [self.max_shape[axis]] if self.max_shape else []
        bounds += self.sizes.get(axis, ())[-1:]
        if axis == 0 and isinstance(self.batch, FixedBatch):
            bounds.append(self.batch.fixed[-1])
        return min(bounds, default=None)


class GraphFile(Value, frozen=True):
    """One graph of an artefact.

    Attributes:
        entry, files: the entry file and every file it needs, relative to the variant.
        io: how each tensor of the signature is spelled.
        session: settings of the runtime's own session that the file was made for, by the runtime's names and values.
        precision: what the weights and arithmetic of this graph are; None where only the artefact says.
        rewrites: what was written otherwise, because the target fails on the graph as it was captured.
    """

    entry: str
    files: tuple[str, ...]
    io: dict[str, TensorIO]
    session: dict[str, str] = {}
    precision: str | None = None
    rewrites: tuple[str, ...] = ()


class BuiltFor(Value, frozen=True):
    """The only machines that can run an artefact; an empty field is any.

    Attributes:
        systems: `linux`, `darwin`, `windows`, `android`, `ios`.
        architectures: `x86_64`, `arm64`, ...
        instruction_sets: all of them must be there, by the names that `doctor` lists.
    """

    systems: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    instruction_sets: tuple[str, ...] = ()


class Artifact(Value, frozen=True):
    """What a target's `export` wrote: one file set a graph.

    Attributes:
        target, recipe, precision: names; `precision` is what the weights and arithmetic really are.
        graphs: graph name -> files.
        declined: graph that the target cannot express -> why; its step is answered by the host alone.
        imports: modules that must be imported before the artefact loads; of `IMPORTS` only.
        requires: package -> version it was made with.
        built_for: the machines that can run it; None is any that has the runtime.
        notes: one line each, for the report ("traced: scripting failed because ...").
    """

    target: str
    recipe: str
    precision: str
    graphs: dict[str, GraphFile]
    declined: dict[str, str] = {}
    imports: tuple[str, ...] = ()
    requires: dict[str, str] = {}
    built_for: BuiltFor | None = None
    notes: tuple[str, ...] = ()


class Used(Value, frozen=True):
    """What really ran, read back from the runtime after opening; None where the runtime does not tell."""

    library: str
    version: str
    provider: str | None = None
    precision: str | None = None
    threads: int | None = None
    instruction_set: str | None = None
