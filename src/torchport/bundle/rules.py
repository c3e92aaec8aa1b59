"""What a manifest may say: every rule of docs/bundle.md that can be checked without opening another file.

A manifest is hostile input. It is checked whole when a Bundle is opened, before anything in it is looked up, and once
more before a Bundle of ours is written: what torchport writes, torchport opens.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from ..choice import budget
from ..errors import UsageError
from ..tasks import plan
from ..types import MOST_THREADS, Signature, Step, TensorSpec
from . import manifest as m
from .artifact_rules import ArtifactRules
from .checks import check_inside
from .grammar import DTYPES, LENGTH, MOST_RATIO, MOST_SIZE, SHA256, printable


def check(manifest: m.Manifest, where: str) -> None:
    """See that a manifest keeps every rule, so that nothing is looked up in vain later.

    Raises:
        BundleError: names the first rule that is broken.
    """
    _Rules(manifest, where).check()


class _Rules(ArtifactRules):
    def check(self) -> None:
        one = self._manifest
        self._count("variants", one.variants)
        self._count("graphs", one.graphs)
        self._count("steps", one.steps)
        self._count("files", one.files)
        if not one.name or printable(one.name) != one.name or "/" in one.name:
            self._broken("the name is empty, too long or not plain text")
        self._text("the version", one.torchport)
        self._ids("task", one.task.name)
        for fact in (*one.task.facts, *one.task.assumed):
            self._names("fact", fact)
        for name, signature in one.graphs.items():
            self._names("graph", name)
            self._signature(name, signature)
        self._files()
        self._steps()
        self._variants()
        self._golden()
        self._evidence()
        for free in (
            one.task.facts,
            one.settings,
            one.provenance,
            one.evidence.machine,
            [golden.labels for golden in one.golden],
        ):
            self._free(free)

    def _signature(self, graph: str, signature: Signature) -> None:
        specs = (*signature.inputs, *signature.outputs)
        self._count("tensors of a graph", specs)
        self._unique(f"inputs of graph {graph}", (spec.name for spec in signature.inputs))
        self._unique(f"outputs of graph {graph}", (spec.name for spec in signature.outputs))
        for spec in specs:
            self._spec(graph, spec)
        for name, bound in signature.dims.items():
            self._names("dimension", name)
            self._number(f"the least '{name}'", bound.min)
            self._number(f"the greatest '{name}'", bound.max, bound.min)
            self._number(f"the multiple of '{name}'", bound.multiple, 1)

    def _spec(self, graph: str, spec: TensorSpec) -> None:
        self._names("tensor", spec.name)
        self._count("axes", spec.shape)
        if spec.dtype not in DTYPES:
            self._broken(f"'{spec.name}' of graph {graph} has the dtype '{printable(spec.dtype, 40)}'")
        for dim in spec.shape:
            if isinstance(dim, int):
                self._number(f"a length of '{spec.name}'", dim)
            elif not LENGTH.fullmatch(dim):
                self._broken(f"the dimension '{printable(dim, 60)}' is not a plain name")

    def _files(self) -> None:
        files = self._manifest.files
        names = [entry.name for entry in files]
        self._unique("files", names)
        self._unique("stored files", (entry.path for entry in files))
        folders = {
            parent.as_posix()
            for entry in files
            for path in {entry.path, entry.name}
            for parent in PurePosixPath(path).parents
        }
        for entry in files:
            for path in {entry.path, entry.name}:
                check_inside(path, self._where)
                if path in folders or path == m.NAME:
                    self._broken(f"'{path}' cannot be listed as a file")
            for size in (entry.size, entry.content_size):
                self._number(f"the size of {entry.path}", size)
            if not (SHA256.fullmatch(entry.sha256) and SHA256.fullmatch(entry.content_sha256)):
                self._broken(f"{entry.path} is listed without a sha256")
            if entry.coded is not None and (
                not entry.path.endswith(".zst")
                or "/" not in entry.name
                or entry.content_size > MOST_RATIO * entry.size + (1 << 20)
            ):
                self._broken(f"{entry.path} cannot be a coded file of {entry.content_size} bytes")

    def _steps(self) -> None:
        steps = self._manifest.steps
        self._unique("steps", plan.names(steps))
        if "result" not in plan.visit(steps, self._step):
            self._broken("no step makes the result")

    def _step(self, step: Step, known: set[str]) -> None:
        graphs = self._manifest.graphs
        self._names(
            "step",
            step.name,
            *(name for pairs in (step.inputs, step.outputs) for pair in pairs.items() for name in pair),
        )
        self._ids("host step", *(name for name in (step.host, step.fit) if name is not None))
        if step.levels is not None:
            self._number("the size of a level", step.levels.size)
            self._number("a share", step.levels.share, 0, 1)
        missing = sorted({*step.inputs.values()} - known)
        if missing:
            self._broken(f"step {step.name} takes '{missing[0]}', which no step before it makes")
        if step.graph is None and step.host is None:
            self._broken(f"step {step.name} names neither a graph nor a host step")
        if step.drives and step.host is None:
            self._broken(f"step {step.name} drives graphs and names no host step")
        if step.graph is not None:
            self._step_graph(step, graphs.get(step.graph))
        for graph, state in step.drives.items():
            self._driven(graph, graphs.get(graph), state)

    def _step_graph(self, step: Step, signature: Signature | None) -> None:
        if signature is None:
            self._broken(f"step {step.name} names graph '{printable(step.graph or '', 60)}', which is not described")
        takes, gives = {spec.name for spec in signature.inputs}, {spec.name for spec in signature.outputs}
        if {*step.inputs} != takes or not {*step.outputs} <= gives:
            self._broken(f"step {step.name} does not fit the tensors of graph '{step.graph}'")

    def _driven(self, graph: str, signature: Signature | None, state: dict[str, str]) -> None:
        if signature is None:
            self._broken(f"a step drives graph '{printable(graph, 60)}', which is not described")
        if not {*state} <= {spec.name for spec in signature.outputs} or not {*state.values()} <= {
            spec.name for spec in signature.inputs
        }:
            self._broken(f"the state that is carried does not fit the tensors of graph '{graph}'")

    def _variants(self) -> None:
        one, listed = self._manifest, {entry.name for entry in self._manifest.files}
        self._unique("variants", (variant.id for variant in one.variants))
        if not one.variants:
            self._broken(f"{one.name} has no variants")
        for variant in one.variants:
            check_inside(f"variants/{variant.id}", self._where)
            self._ids("variant", variant.id)
            self._ids("profile", *variant.profiles)
            self._ids("recipe", variant.golden)
            self._number(f"the tolerance of {variant.id}", variant.tolerance, 0, 1)
            for ratio in variant.least_db.values():
                self._number("a least ratio", ratio, -1000, 1000)
            self._number(f"threads of {variant.id}", variant.threads, 1, MOST_THREADS)
            self._artifact(f"variants/{variant.id}", variant.artifact, listed)
        if one.reference is not None:
            self._artifact("reference", one.reference, listed)
        ids = {variant.id for variant in one.variants}
        self._ids("variant", *one.front)
        self._ids("profile", *one.chosen_for)
        for chosen in (one.chosen, *one.chosen_for.values()):
            if chosen is not None and chosen not in ids:
                self._broken(f"'{printable(chosen, 60)}' is chosen and is not a variant")

    def _golden(self) -> None:
        one, listed = self._manifest, {entry.name for entry in self._manifest.files}
        self._unique("golden vectors", (golden.recipe for golden in one.golden))
        self._unique("golden files", (golden.path for golden in one.golden))
        for golden in one.golden:
            self._ids("recipe", golden.recipe)
            self._count("golden items", golden.items)
            if golden.path not in listed:
                self._broken(f"golden vectors of {golden.recipe} are not listed")
            if golden.labels and len(golden.labels) != len(golden.items):
                self._broken(f"{len(golden.items)} golden items have {len(golden.labels)} labels")
        recipes = {golden.recipe for golden in one.golden}
        for variant in one.variants:
            if recipes and variant.golden not in recipes:
                self._broken(
                    f"variant {variant.id} is held against golden vectors of {variant.golden}, of which there are none"
                )

    def _evidence(self) -> None:
        evidence = self._manifest.evidence
        if self._manifest.budget:
            try:
                budget.parse(self._manifest.budget)
            except UsageError as exc:
                self._broken(printable(exc.message))
        for row in evidence.candidates:
            self._ids("candidate", row.id, row.target, row.recipe, row.precision)
            for timing in (row.latency_ms, *row.by_threads.values()):
                for value in (timing.median, timing.p90, timing.noise) if timing else ():
                    self._number(f"the latency of {row.id}", value)
            for size in (row.size_bytes, row.download_bytes, row.memory_bytes, row.threads):
                self._number(f"a figure of {row.id}", size)
            for accuracy in (row.accuracy, row.test):
                for value in (accuracy.value, accuracy.items, *accuracy.interval) if accuracy else ():
                    self._number(f"the accuracy of {row.id}", value, -MOST_SIZE)
        if evidence.reference is not None:
            for figure in (
                evidence.reference.latency_ms,
                evidence.reference.accuracy,
                evidence.reference.size_bytes,
                evidence.reference.test_accuracy,
            ):
                self._number("a figure of the reference", figure, -MOST_SIZE)
