"""`torchport debug`: the first layer of a variant whose value leaves the reference, and a folder that shows it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..bundle import Bundle, Variant, trust
from ..errors import MissingDependency, TorchportError, UsageError
from ..system import isolate
from ..targets import Target, targets
from ..targets.shared.adapt import native_feed
from ..tasks import Plan
from ..types import PLAIN
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
class Stage:
    """One graph of a variant with what the reference fed it and answered."""

    graph: str
    feed: Mapping[str, np.ndarray]
    wanted: Mapping[str, np.ndarray]


def debug(
    bundle: Bundle,
    *,
    variant: str | None = None,
    item: int = 0,
    trusted: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[DebugDocument, Found | None]:
    """Find where a variant leaves the reference, on one of the Bundle's golden items.

    Args:
        variant: its id; None takes the chosen one.
        item: number of the golden item, from 0.

    Returns:
        What was found; and what reproduces it, where a layer was named.

    Raises:
        UsageError: there is no such variant or item, or the Bundle keeps no golden vectors or no reference.
        MissingDependency: PyTorch or the variant's runtime is not installed.
    """
    row = _variant(bundle, variant)
    target = targets.need(row.artifact.target)
    trust.require(bundle, target, row.id, trusted)
    traces = golden_of(bundle)
    if not 0 <= item < len(traces):
        raise UsageError(
            f"there is no golden item {item}: the Bundle keeps {len(traces)}",
            "deploy with --golden to keep some" if not traces else f"give a number from 0 to {len(traces) - 1}",
        )
    plan, trace = plan_of(bundle), traces[item]
    folder = bundle.variant_folder(row, row.artifact.graphs)
    for stage in stages(plan, trace, row):
        tell(stage.graph)
        far, why = isolate.call(_distance, target, row, folder, plan, stage, what=f"{row.id}, graph {stage.graph}")
        if far <= _allowed(target, row, stage.graph):
            continue
        program = _reference(bundle, stage.graph)
        if program is None or (not np.isfinite(far) and why):
            return _whole_graph(plan, row, trace, stage, far, why), None
        return _layer(target, row, folder, plan, trace, stage, program)
    return (
        DebugDocument(
            variant=row.id,
            item=trace.name,
            cause="none",
            said=f"{row.id} answers {trace.name} like the reference in every graph",
        ),
        None,
    )


def stages(plan: Plan, trace: Trace, variant: Variant) -> list[Stage]:
    """The variant's graphs in the order of the chain, each with what the reference fed it and answered."""
    found = [
        Stage(str(step.graph), feed, plan.outputs(str(step.graph), trace.graph))
        for step, feed in plan.fed(trace.graph, variant.artifact.graphs)
    ]
    driven = [Stage(call.graph, call.feed, call.outputs) for call in trace.calls]
    return found + [one for one in driven if one.graph in variant.artifact.graphs]


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


def _allowed(target: Target, variant: Variant, graph: str) -> float:
    """Greatest distance of two values of a graph that are called equal."""
    precision = variant.artifact.graphs[graph].precision or variant.artifact.precision
    return target.tolerance(precision) or COARSE


def _distance(target: Target, variant: Variant, folder: Path, plan: Plan, stage: Stage) -> tuple[float, str]:
    """How far a graph's outputs are from the reference's, and what the runtime failed with."""
    signature = plan.signatures[stage.graph]
    try:
        with target.open(variant.artifact, folder, signature, stage.graph) as runner:
            answered = runner.run(dict(stage.feed))
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


def _whole_graph(plan: Plan, variant: Variant, trace: Trace, stage: Stage, far: float, why: str) -> DebugDocument:
    cause: Cause = "graph"
    if stage.graph != plan.main and plan.step_of(stage.graph) is not None:
        order = plan.needed(in_graph=True)
        cause = "preprocessing" if order.index(stage.graph) < order.index(plan.main) else "postprocessing"
    said = f"graph '{stage.graph}' of {variant.id} fails: {why}" if why else (
        f"graph '{stage.graph}' of {variant.id} is {far:.2g} from the reference on the reference's own input: "
        f"the {cause} differs, not the model"
    )  # fmt: skip
    return DebugDocument(
        variant=variant.id, item=trace.name, cause=cause, said=said, graph=stage.graph, after=_finite(far)
    )


def _layer(
    target: Target,
    variant: Variant,
    folder: Path,
    plan: Plan,
    trace: Trace,
    stage: Stage,
    program: ExportedProgram,
) -> tuple[DebugDocument, Found | None]:
    from ..frontend.layers import layers_of
    from ..frontend.program import GraphProgram

    signature = plan.signatures[stage.graph]
    feed = {spec.name: np.asarray(stage.feed[spec.name]) for spec in signature.inputs}
    reference = layers_of(program, feed)
    file = variant.artifact.graphs[stage.graph]
    native = native_feed(signature, file.io, feed)
    artefact = target.layers(file, folder, native)
    if artefact is None:
        where = _by_parts(target, GraphProgram(stage.graph, signature, feed, program), reference)
    else:
        where = diverging(reference, artefact, native, _allowed(target, variant, stage.graph))
    if where is None:
        far = f"graph '{stage.graph}' of {variant.id} differs, and none of its layers does: "
        why = "each part exported anew answers right: the file was changed, or its runtime treats the whole differently"
        return DebugDocument(
            variant=variant.id, item=trace.name, cause="graph", said=far + why, graph=stage.graph
        ), None
    noise = _noise(program, feed, where)
    layer, other = where.layer, where.reference
    unstable = noise is not None and noise >= where.after / 3
    shown = _weighted(layer, reference) or other or layer
    document = DebugDocument(
        variant=variant.id,
        item=trace.name,
        cause="unstable model" if unstable else "layer",
        said=_sentence(variant, where, shown, noise if unstable else None),
        graph=stage.graph,
        layer=layer.name,
        op=layer.op,
        module=shown.module or None,
        place=shown.place or None,
        reference=other.name if other else None,
        before=where.before,
        after=_finite(where.after),
        noise=noise,
        depth=where.depth,
    )
    values = {one.name: one.value for one in artefact or ()} | native
    given = {name: values[name] for name in layer.inputs if name in values}
    wanted = other.value if other is not None else layer.value
    found = Found(target, folder / file.entry, native, given, wanted, where)
    return document, found


def _sentence(variant: Variant, where: Diverging, shown: Layer, noise: float | None) -> str:
    """What was found, in words; `shown` has the module and the line, `noise` is given where the model is unstable."""
    named = f"{where.layer.op} '{where.layer.name}'" + (f" in module {shown.module}" if shown.module else "")
    named += f", {shown.place}" if shown.place else ""
    said = (
        f"{variant.id} leaves the reference at {named}: what it reads is {where.before:.1g} off, what it makes "
        f"{where.after:.2g}"
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
        tried[place] = isolate.call(_part, target, graph, reference[counted[place]], what="a part")
        return tried[place] > allowed

    last = len(counted) - 1
    if not wrong(last):
        return None
    place = bisect_left(range(last), True, key=wrong)
    layer = reference[counted[place]]
    depth = tuple((counted[one], far) for one, far in sorted(tried.items()) if np.isfinite(far))
    return Diverging(counted[place], layer, layer, tried.get(place - 1, 0.0), tried[place], depth)


def _part(target: Target, graph: GraphProgram, layer: Layer) -> float:
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
