"""`torchport debug`: the first layer of a variant whose value leaves the reference, and a folder that shows it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..bundle import Bundle, Variant, trust
from ..errors import BadInput, MissingDependency, TorchportError, UsageError
from ..system import isolate
from ..targets import Target, targets
from ..targets.shared.adapt import native_feed
from ..tasks import Plan
from ..types import PLAIN, Artifact
from ..verification.check import golden_of, plan_of
from ..verification.diverging import COARSE, Cause, DebugDocument, Diverging, distance, diverging
from ..verification.traces import Trace

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from ..frontend.layers import Layer
    from ..frontend.program import GraphProgram

_NOISE = 1e-6
"""Share of each number of the feed that the stability of the model is tried with."""


@dataclass(frozen=True)
class Suspect:
    """An artefact, and what it is held against on one item.

    Attributes:
        id: its row's.
        artifact, folder: what lies in the folder.
        trace: the item's values by the model as trained.
        program: graph -> that model's program; None where it is not kept.
        other: another artefact to hold it against instead.
    """

    id: str
    artifact: Artifact
    folder: Path
    plan: Plan
    trace: Trace
    program: Callable[[str], ExportedProgram | None]
    other: Suspect | None = None

    @property
    def target(self) -> Target:
        """Whose artefact it is."""
        return targets.need(self.artifact.target)

    def allowed(self, graph: str) -> float:
        """Greatest distance of two values of a graph that are called equal."""
        precision = self.artifact.graphs[graph].precision or self.artifact.precision
        return self.target.tolerance(precision) or COARSE

    def answers(self, stage: Stage) -> Mapping[str, np.ndarray]:
        """What the artefact makes of a stage's feed."""
        with self.target.open(self.artifact, self.folder, self.plan.signatures[stage.graph], stage.graph) as runner:
            return runner.run(dict(stage.feed))

    def layers(self, stage: Stage) -> list[Layer] | None:
        """Every value inside for a stage's feed; None where the runtime hands out none."""
        file = self.artifact.graphs[stage.graph]
        return self.target.layers(
            file, self.folder, native_feed(self.plan.signatures[stage.graph], file.io, stage.feed)
        )


@dataclass(frozen=True)
class Stage:
    """One graph of an artefact with what it is fed, and what is wanted of it."""

    graph: str
    feed: Mapping[str, np.ndarray]
    wanted: Mapping[str, np.ndarray]


def debug(
    bundle: Bundle,
    *,
    variant: str | None = None,
    against: str | None = None,
    item: int | Path = 0,
    trusted: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[DebugDocument, Found | None]:
    """Find where a variant leaves the model as trained, or another variant.

    Args:
        variant: its id; None takes the chosen one.
        against: id of the variant to hold it against; None takes the model as trained.
        item: number of the golden item, from 0, or a file of the user's.

    Returns:
        What was found; and what reproduces it, where a layer was named.

    Raises:
        UsageError: there is no such variant or item, or the Bundle keeps no golden vectors or no reference.
        MissingDependency: PyTorch or the variant's runtime is not installed.
        BadInput: the file cannot be read.
    """
    rows = [_variant(bundle, variant), *([_variant(bundle, against)] if against else ())]
    for row in rows:
        trust.require(bundle, targets.need(row.artifact.target), row.id, trusted)
    plan = plan_of(bundle)
    values = _golden(bundle, item) if isinstance(item, int) else _answered(bundle, plan, item)
    found = [
        Suspect(
            row.id,
            row.artifact,
            bundle.variant_folder(row, row.artifact.graphs),
            plan,
            values,
            partial(_reference, bundle),
        )
        for row in rows
    ]
    return diverges(replace(found[0], other=found[1]) if against else found[0], tell)


def diverges(suspect: Suspect, tell: Callable[[str], None]) -> tuple[DebugDocument, Found | None]:
    """Graph by graph, in the order of the chain, then layer by layer in the first that differs."""
    for stage in stages(suspect):
        tell(stage.graph)
        far, why = isolate.call(_distance, suspect, stage, what=f"{suspect.id}, graph {stage.graph}")
        if far <= suspect.allowed(stage.graph):
            continue
        program = suspect.program(stage.graph)
        if program is None or (not np.isfinite(far) and why):
            return _whole_graph(suspect, stage, far, why), None
        return _layer(suspect, stage, program)
    like = "the reference" if suspect.other is None else suspect.other.id
    said = f"{suspect.id} answers {suspect.trace.name} like {like} in every graph"
    return DebugDocument(variant=suspect.id, item=suspect.trace.name, cause="none", said=said), None


def _golden(bundle: Bundle, item: int) -> Trace:
    traces = golden_of(bundle)
    if not 0 <= item < len(traces):
        raise UsageError(
            f"there is no golden item {item}: the Bundle keeps {len(traces)}",
            "deploy with --golden to keep some" if not traces else f"give a number from 0 to {len(traces) - 1}",
        )
    return traces[item]


def _answered(bundle: Bundle, plan: Plan, path: Path) -> Trace:
    """A file of the user's, answered by the model as trained."""
    from ..tasks import Item
    from ..verification.traces import trace

    artifact = bundle.manifest.reference
    if artifact is None:
        raise UsageError(
            "the Bundle keeps no reference that could answer the file", "give --item N in place of --input"
        )
    if not path.is_file():
        raise BadInput(f"there is no file {path}", "give one that the Bundle's task takes")
    target, folder = targets.need(artifact.target), bundle.reference_folder()
    with ExitStack() as stack:
        runners = {
            name: stack.enter_context(target.open(artifact, folder, plan.signatures[name], name))
            for name in artifact.graphs
        }
        return trace(plan, Item(path.name, path.read_bytes), runners, both=False)


def stages(suspect: Suspect) -> list[Stage]:
    """The artefact's graphs in the order of the chain, each with what the reference fed it, and what the reference, or
    the other artefact, makes of that.
    """
    plan, trace, graphs = suspect.plan, suspect.trace, suspect.artifact.graphs
    found = [
        Stage(str(step.graph), feed, plan.outputs(str(step.graph), trace.graph))
        for step, feed in plan.fed(trace.graph, graphs)
    ]
    found += [Stage(call.graph, call.feed, call.outputs) for call in trace.calls if call.graph in graphs]
    other = suspect.other
    if other is None:
        return found
    shared = [stage for stage in found if stage.graph in other.artifact.graphs]
    return [
        replace(stage, wanted=isolate.call(other.answers, stage, what=f"{other.id}, graph {stage.graph}"))
        for stage in shared
    ]


@dataclass(frozen=True)
class Found:
    """What reproduces a divergence: the artefact's graph, its feed, and the layers on both sides."""

    target: Target
    entry: Path
    feed: Mapping[str, np.ndarray]
    given: Mapping[str, np.ndarray]
    wanted: np.ndarray
    where: Diverging


def _variant(bundle: Bundle, wanted: str | None) -> Variant:
    known = {one.id: one for one in bundle.manifest.variants}
    name = wanted or bundle.manifest.chosen
    if name not in known:
        raise UsageError(f"there is no variant '{name}'", f"the Bundle has {', '.join(known)}")
    return known[name]


def _distance(suspect: Suspect, stage: Stage) -> tuple[float, str]:
    """How far a graph's outputs are from what is wanted, and what the runtime failed with."""
    try:
        answered = suspect.answers(stage)
    except TorchportError as exc:
        return float("inf"), str(exc)
    return max(
        (distance(answered[name], wanted) for name, wanted in stage.wanted.items() if name in answered), default=0.0
    ), ""


def _reference(bundle: Bundle, graph: str) -> ExportedProgram | None:
    artifact = bundle.manifest.reference
    if artifact is None or graph not in artifact.graphs or not artifact.graphs[graph].entry.endswith(".pt2"):
        return None
    try:
        from ..frontend.safe import load_exported
    except ImportError as exc:
        raise MissingDependency(f"the reference is run by PyTorch: {exc}", "pip install 'torchport[build]'") from exc
    return load_exported(bundle.reference_folder() / artifact.graphs[graph].entry)


def _whole_graph(suspect: Suspect, stage: Stage, far: float, why: str) -> DebugDocument:
    cause: Cause = "graph"
    plan = suspect.plan
    if stage.graph != plan.main and plan.step_of(stage.graph) is not None:
        order = plan.needed(in_graph=True)
        cause = "preprocessing" if order.index(stage.graph) < order.index(plan.main) else "postprocessing"
    said = f"graph '{stage.graph}' of {suspect.id} fails: {why}" if why else (
        f"graph '{stage.graph}' of {suspect.id} is {far:.2g} from the reference on the reference's own input: "
        f"the {cause} differs, not the model"
    )  # fmt: skip
    return DebugDocument(
        variant=suspect.id, item=suspect.trace.name, cause=cause, said=said, graph=stage.graph, after=_finite(far)
    )


def _layer(suspect: Suspect, stage: Stage, program: ExportedProgram) -> tuple[DebugDocument, Found | None]:
    from ..frontend.layers import layers_of
    from ..frontend.program import GraphProgram

    signature = suspect.plan.signatures[stage.graph]
    feed = {spec.name: np.asarray(stage.feed[spec.name]) for spec in signature.inputs}
    trained = layers_of(program, feed)
    other = None if suspect.other is None else suspect.other.layers(stage)
    file = suspect.artifact.graphs[stage.graph]
    native = native_feed(signature, file.io, feed)
    artefact = suspect.layers(stage)
    if artefact is None:
        where = _by_parts(suspect.target, GraphProgram(stage.graph, signature, feed, program), trained)
    else:
        where = diverging(other or trained, artefact, native, suspect.allowed(stage.graph))
    if where is None:
        far = f"graph '{stage.graph}' of {suspect.id} differs, and none of its layers does: "
        why = "each part exported anew answers right: the file was changed, or its runtime treats the whole differently"
        said = far + why
        return DebugDocument(
            variant=suspect.id, item=suspect.trace.name, cause="graph", said=said, graph=stage.graph
        ), None
    named = where if other is None else _traced(where, trained)
    noise = _noise(program, feed, named)
    layer = where.layer
    unstable = noise is not None and noise >= where.after / 3
    shown = _weighted(layer, trained) or named.reference or layer
    document = DebugDocument(
        variant=suspect.id,
        item=suspect.trace.name,
        cause="unstable model" if unstable else "layer",
        said=_sentence(suspect, where, shown, noise if unstable else None),
        graph=stage.graph,
        layer=layer.name,
        op=layer.op,
        module=shown.module or None,
        place=shown.place or None,
        reference=where.reference.name if where.reference else None,
        before=where.before,
        after=_finite(where.after),
        noise=noise,
        depth=where.depth,
    )
    values = {one.name: one.value for one in artefact or ()} | native
    given = {name: values[name] for name in layer.inputs if name in values}
    wanted = where.reference.value if where.reference is not None else layer.value
    found = Found(suspect.target, suspect.folder / file.entry, native, given, wanted, where)
    return document, found


def _traced(where: Diverging, trained: Sequence[Layer]) -> Diverging:
    """With the layer of the model as trained that the other artefact's stands for, which has a module and a line."""
    if where.reference is None:
        return where
    value = where.reference.value
    like = [one for one in trained if one.value.size == value.size and one.value.dtype.kind == "f"]
    return replace(where, reference=min(like, key=lambda one: distance(value, one.value), default=None))


def _sentence(suspect: Suspect, where: Diverging, shown: Layer, noise: float | None) -> str:
    """What was found, in words; `shown` has the module and the line, `noise` is given where the model is unstable."""
    named = f"{where.layer.op} '{where.layer.name}'" + (f" in module {shown.module}" if shown.module else "")
    named += f", {shown.place}" if shown.place else ""
    said = (
        f"{suspect.id} leaves {'the reference' if suspect.other is None else suspect.other.id} at {named}: what it "
        f"reads is {where.before:.1g} off, what it makes {where.after:.2g}"
    )
    if noise is None:
        return said
    return f"{said}; the reference itself moves by {noise:.2g} there where its input changes by a millionth"


def _weighted(layer: Layer, reference: Sequence[Layer]) -> Layer | None:
    """The reference's operator whose weights an operator of the artefact has: the one that others were folded into."""
    owners = {name.rpartition(".")[0] for name in layer.weights} - {""}
    return next((one for one in reference if one.module in owners), None)


def _by_parts(target: Target, graph: GraphProgram, reference: Sequence[Layer]) -> Diverging | None:
    """The first operator up to which the graph, exported anew, is wrong: halved again and again, for runtimes that hand
    out no inner values.
    """
    tried: dict[int, float] = {}
    allowed = target.tolerance(PLAIN) or COARSE
    counted = [number for number, layer in enumerate(reference) if layer.value.dtype.kind == "f" and layer.value.size]

    def wrong(place: int) -> bool:
        try:
            tried[place] = isolate.call(_part, target, graph, reference[counted[place]], what="a part")
        except TorchportError:  # it cannot be captured by itself, made or run, or ended the process
            tried[place] = float("inf")
        return tried[place] > allowed

    last = len(counted) - 1
    if not wrong(last):
        return None
    place = bisect_left(range(last), True, key=wrong)
    layer = reference[counted[place]]
    depth = tuple((counted[one], far) for one, far in sorted(tried.items()) if np.isfinite(far))
    return Diverging(counted[place], layer, layer, tried.get(place - 1, 0.0), tried[place], depth)


def _part(target: Target, graph: GraphProgram, layer: Layer) -> float:
    """How far what a part exported anew makes is from the reference."""
    from ..frontend.layers import beginning
    from ..frontend.program import Program
    from ..system.disk import temporary
    from ..targets.base import ExportOptions

    module = graph.need_exported(target.name).module(check_guards=False)
    part = beginning(graph, module, layer.name, alone=True)
    with temporary() as folder:
        artifact = target.export(Program({part.name: part}), folder, ExportOptions())
        with target.open(artifact, folder, part.signature, part.name) as runner:
            answered = runner.run({spec.name: part.examples[spec.name] for spec in part.signature.inputs})
    return distance(next(iter(answered.values())), layer.value)


def _noise(program: ExportedProgram, feed: Mapping[str, np.ndarray], where: Diverging) -> float | None:
    """How far the reference's layer moves where every number of the feed changes by a millionth of itself."""
    from ..frontend.layers import layers_of

    if where.reference is None:
        return None
    random = np.random.default_rng(0)
    moved = {
        name: (array * (1 + _NOISE * random.standard_normal(array.shape))).astype(array.dtype)
        if array.dtype.kind == "f"
        else array
        for name, array in feed.items()
    }
    name = where.reference.name
    found = next(one for one in layers_of(program, moved) if one.name == name)
    return _finite(distance(found.value, where.reference.value))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
