"""The frozen, JSON-able values that pass between stages. Nothing here imports more than msgspec.

Arrays travel as `dict[str, numpy.ndarray]` keyed by the names fixed at capture; everything else that crosses a stage
boundary is one of these types.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PLAIN = "fp32"
"""The recipe, and the precision, of a model as it was trained."""

MOST_THREADS = 1024
"""The greatest number of threads that a runtime is asked to start."""

IMPORTS = ("torchao.quantization.pt2e",)
"""The only modules that an artefact may ask to be imported before it is opened: they define operators of quantised
programs.
"""


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """Base of every value below: immutable, built by keyword, strict when decoded."""


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

    Attributes:
        name: the runtime's name of the tensor.
        dtype: the runtime's dtype; the Runner casts, range-checked, where it differs from the signature.
        layout: permutation of the signature's axes that the runtime expects, such as `[0, 2, 3, 1]`; None is the same.
        batch: `"none"` (no batch dimension), `"dynamic"`, or fixed sizes.
        max_shape: greatest size per axis, or None where the runtime sets no bound.
    """

    name: str
    dtype: str
    layout: tuple[int, ...] | None = None
    batch: Literal["none", "dynamic"] | FixedBatch = "none"
    max_shape: tuple[int, ...] | None = None


class GraphFile(Value, frozen=True):
    """One graph of an artefact.

    Attributes:
        entry, files: the entry file and every file it needs, relative to the variant.
        io: how each tensor of the signature is spelled.
        session: settings of the runtime's own session that the file was made for, by the runtime's names and values.
    """

    entry: str
    files: tuple[str, ...]
    io: dict[str, TensorIO]
    session: dict[str, str] = {}


class Artifact(Value, frozen=True):
    """What a target's `export` wrote: one file set a graph.

    Attributes:
        target, recipe, precision: names; `precision` is what the weights and arithmetic really are.
        graphs: graph name -> files.
        imports: modules that must be imported before the artefact loads; of `IMPORTS` only.
        requires: package -> version it was made with.
        notes: one line each, for the report ("traced: scripting failed because ...").
    """

    target: str
    recipe: str
    precision: str
    graphs: dict[str, GraphFile]
    imports: tuple[str, ...] = ()
    requires: dict[str, str] = {}
    notes: tuple[str, ...] = ()


class Used(Value, frozen=True):
    """What really ran, read back from the runtime after opening; None where the runtime does not tell."""

    library: str
    version: str
    provider: str | None = None
    precision: str | None = None
    threads: int | None = None
    instruction_set: str | None = None


class OutputParity(Value, frozen=True):
    """One output of one stage against its reference, over all compared items.

    `max_rel` = max|a - b| / max|reference|; `snr_db` is None when the two are equal to the bit; for integer and boolean
    outputs `max_rel` is the share of elements that differ. `tolerance` is None where the ratio of signal to noise
    decides.
    """

    stage: str
    output: str
    max_rel: float
    snr_db: float | None
    ok: bool
    tolerance: float | None
    items: int


class Parity(Value, frozen=True):
    """The verdict on one artefact: worst figures first, then every output; `stage` and `reason` say where it failed."""

    ok: bool
    max_rel: float
    snr_db: float | None
    outputs: tuple[OutputParity, ...] = ()
    stage: str | None = None
    reason: str | None = None
    made_up: bool = False

    def __bool__(self) -> bool:
        return self.ok


class Distance(Value, frozen=True):
    """How far a model's outputs are from those of the model as trained, on the same inputs; `snr_db` is None where
    equal to the bit.
    """

    max_rel: float
    snr_db: float | None


class Timing(Value, frozen=True):
    """Latency of one call, in milliseconds, with the raw times it came from (one list a round)."""

    median: float
    p90: float
    noise: float
    rounds: tuple[tuple[float, ...], ...] = ()


class Accuracy(Value, frozen=True):
    """A task metric on `items` items; `interval` is the 95 % interval of the paired difference to the reference. Where
    nothing tells how right an answer is, `labelled` is false and the value the share answered as the reference does."""

    value: float
    items: int
    interval: tuple[float, float]
    metric: str
    labelled: bool


class Budget(Value, frozen=True):
    """What a candidate must keep. Fractions for accuracy, ms for latency, bytes for size and memory.

    Attributes:
        accuracy_share: least share of the reference's metric (`accuracy>=99%`).
        accuracy_least: least absolute value (`accuracy>=0.91`).
        accuracy_drop: greatest absolute loss (`accuracy<=1pt` is 0.01).
        agreement: least share of the items answered as by the reference (`agreement>=97%`).
    """

    accuracy_share: float | None = None
    accuracy_least: float | None = None
    accuracy_drop: float | None = None
    agreement: float | None = None
    latency_ms: float | None = None
    size_bytes: int | None = None
    memory_bytes: int | None = None
    text: str = ""


CandidateStatus = Literal["chosen", "ok", "rejected", "failed", "absent"]
Met = Literal["yes", "no", "not shown"]


def status_word(status: CandidateStatus) -> str:
    """What people are told of a status: what is absent was not tried."""
    return "not tried" if status == "absent" else status


class Candidate(Value, frozen=True):
    """One row of the table: a target x recipe, with everything that was measured about it.

    Attributes:
        accuracy, agreement: on the items that candidates are compared on.
        test, test_agreement: on the test split, answered once when the choice was made; only of what won, for a profile
        or by size or memory. same_as: id of the row whose files these are, byte for byte: the recipe changed nothing,
        and the row is no candidate. parity_of: chain of recipes whose own Program `parity` is held against; None is the
        model as trained. distance: from the model as trained, where `parity_of` is another.
    """

    id: str
    target: str
    recipe: str
    precision: str
    status: CandidateStatus = "ok"
    reason: str | None = None
    threads: int | None = None
    by_threads: dict[str, Timing] = {}
    profiles: tuple[str, ...] = ()
    size_bytes: int | None = None
    download_bytes: int | None = None
    memory_bytes: int | None = None
    latency_ms: Timing | None = None
    accuracy: Accuracy | None = None
    agreement: float | None = None
    test: Accuracy | None = None
    test_agreement: float | None = None
    parity: Parity | None = None
    used: Used | None = None
    notes: tuple[str, ...] = ()
    same_as: str | None = None
    parity_of: str | None = None
    distance: Distance | None = None

    @property
    def place(self) -> tuple[int, float, str]:
        """What tables are ordered by: the chosen row first, then those that could be, what was rejected, what failed;
        each by latency.
        """
        order: tuple[CandidateStatus, ...] = ("chosen", "ok", "rejected", "failed", "absent")
        return order.index(self.status), self.latency_ms.median if self.latency_ms else float("inf"), self.id

    @property
    def word(self) -> str:
        """What people are told of `status`: `same as fp32` where the recipe changed nothing."""
        return f"same as {self.same_as.removeprefix(f'{self.target}-')}" if self.same_as else status_word(self.status)


class Reference(Value, frozen=True):
    """The eager model: what every candidate is held against. `measured` says when the latency was taken;
    `test_accuracy` is of the test split, where there is one; `reason` says why there is no latency."""

    latency_ms: float | None
    accuracy: float | None
    size_bytes: int | None
    test_accuracy: float | None = None
    measured: Literal["now", "at deploy"] = "now"
    latency: Timing | None = None
    reason: str | None = None


class Choice(Value, frozen=True):
    """The explained decision over all candidates.

    Attributes:
        chosen: id of the winner of the requested profile, None when nothing met the budget.
        chosen_for: profile -> winner.
        preferred: what can decide (latency, size, memory) -> winner of the requested profile by that.
        met: whether the winner is shown to keep the budget.
        why: why the winner won, in words; `met_because` says what `met` rests on.
        front: ids on the accuracy/latency/size Pareto front.
        nearest: axis -> sentence naming the nearest miss (only when nothing met the budget).
        warnings: what makes the figures less sure than they look, one sentence each.
    """

    chosen: str | None
    chosen_for: dict[str, str]
    met: Met
    why: str
    met_because: str
    front: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    nearest: dict[str, str] = {}
    preferred: dict[str, str] = {}
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        from .figures import choice_summary

        return choice_summary(self)

    def _repr_html_(self) -> str:
        from .figures import choice_table

        return choice_table(self)


class Levels(Value, frozen=True):
    """How two answers of a step that rounds to levels may differ: a rounding flips where runtimes sum in another order.

    Attributes:
        size: greatest difference of one element, in the output's own unit (one level of 0..255, normalised).
        share: greatest share of elements that may differ at all.
    """

    size: float
    share: float


class Step(Value, frozen=True):
    """One step of the chain from raw bytes to JSON: an exported graph, a named host step, or both.

    Where a step names both, the host step and the graph answer alike (proven when the Bundle is made), and the run half
    takes the host step unless it is asked for the graph.

    Attributes:
        name: what the step is called in reports and golden vectors.
        graph: name of an exported graph.
        host: name of a host step of the task.
        inputs: the step's own input name -> name of a value made by an earlier step (`raw` is the start).
        outputs: the step's own output name -> name of the value it makes.
        fit: a host step that brings the step's inputs within the `max_shape` of the graph's io before it runs.
        levels: set where the step rounds; its graphs are then compared by levels, not by a relative tolerance.
        state: output -> input, for graphs that carry state between calls.
        drives: for a host step that calls graphs itself, as often as the input asks for (a beam search, a cascade):
            graph -> its carried state, output -> input; empty for a graph without state.
    """

    name: str
    graph: str | None = None
    host: str | None = None
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    fit: str | None = None
    levels: Levels | None = None
    state: dict[str, str] = {}
    drives: dict[str, dict[str, str]] = {}

    @property
    def graphs(self) -> dict[str, dict[str, str]]:
        """Every graph that the step may run, its own first -> its carried state."""
        return ({self.graph: self.state} if self.graph else {}) | self.drives
