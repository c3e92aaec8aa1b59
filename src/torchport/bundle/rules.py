"""What a manifest may say: every rule of docs/bundle.md that can be checked without opening another file.

A manifest is hostile input. It is checked whole when a Bundle is opened, before anything in it is looked up, and once
more before a Bundle of ours is written: what torchport writes, torchport opens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, NoReturn

from ..choice import budget
from ..errors import BundleError, UsageError
from ..types import IMPORTS, MOST_THREADS, Artifact, FixedBatch, GraphFile, Signature, Step, TensorIO, TensorSpec
from . import manifest as m
from .grammar import AGAIN, DISTRUST, DTYPES, ID, LENGTH, MOST, MOST_RATIO, MOST_SIZE, NAME, PART, SHA256, printable


def check_inside(path: str, where: str) -> None:
    """Refuse a listed path that could leave the Bundle, or has letters that no path of a Bundle has."""
    parts = PurePosixPath(path).parts
    if (
        not parts
        or path.startswith("/")
        or ".." in parts
        or "\\" in path
        or ":" in parts[0]
        or PurePosixPath(*parts).as_posix() != path
    ):
        raise BundleError(f"{where}: the path '{printable(path)}' leaves the Bundle", DISTRUST)
    if len(parts) > 16 or not all(map(PART.fullmatch, parts)):
        raise BundleError(
            f"{where}: the path '{printable(path)}' has letters or a length that no path of a Bundle has", DISTRUST
        )


def check(manifest: m.Manifest, where: str) -> None:
    """See that a manifest keeps every rule, so that nothing is looked up in vain later.

    Raises:
        BundleError: names the first rule that is broken.
    """
    _Rules(manifest, where).check()


class _Rules:
    def __init__(self, manifest: m.Manifest, where: str) -> None:
        self._manifest, self._where = manifest, where

    def check(self) -> None:
        one = self._manifest
        self._count("variants", one.variants)
        self._count("graphs", one.graphs)
        self._count("steps", one.steps)
        self._count("files", one.files)
        if not one.name or printable(one.name) != one.name or "/" in one.name:
            self._broken("the name is empty, too long or no plain text")
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

    def _broken(self, what: str) -> NoReturn:
        raise BundleError(f"{self._where}: {what}", AGAIN)

    def _count(self, what: str, things: Iterable[Any]) -> None:
        count = len(list(things))
        if count > MOST[what]:
            self._broken(f"there are {count} {what}; at most {MOST[what]} are allowed")

    def _unique(self, what: str, names: Iterable[str]) -> None:
        seen = set[str]()
        for name in names:
            if name in seen:
                self._broken(f"two {what} are called '{printable(name)}'")
            seen.add(name)

    def _ids(self, what: str, *names: str) -> None:
        for name in names:
            if not ID.fullmatch(name):
                self._broken(f"the {what} '{printable(name, 60)}' is no plain name")

    def _names(self, what: str, *names: str) -> None:
        for name in names:
            if not NAME.fullmatch(name):
                self._broken(f"the {what} '{printable(name, 60)}' is no plain name")

    def _text(self, what: str, text: str) -> None:
        if len(text) > 2000 or not text.isprintable():
            self._broken(f"{what} is too long, or no plain text")

    def _number(self, what: str, value: float | None, least: float = 0, most: float = MOST_SIZE) -> None:
        if value is not None and not ((isinstance(value, int) or math.isfinite(value)) and least <= value <= most):
            self._broken(
                f"{what} is {value if isinstance(value, float) or abs(value) < MOST_SIZE else 'beyond all bounds'}, "
                f"it takes {least:g} to {most:g}"
            )

    def _free(self, value: Any, depth: int = 0) -> None:
        """Values that only a task or a person reads: finite, and not nested without end."""
        if depth > MOST["layers of lists"]:
            self._broken(f"values are nested more than {MOST['layers of lists']} deep")
        if isinstance(value, dict):
            for one in value.values():
                self._free(one, depth + 1)
        elif isinstance(value, list | tuple):
            for one in value:
                self._free(one, depth + 1)
        elif isinstance(value, int | float):
            self._number("a number", value, -MOST_SIZE * 2**13, MOST_SIZE * 2**13) if isinstance(
                value, int
            ) else self._number("a number", value, -1e308, 1e308)

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
                self._broken(f"the dimension '{printable(dim, 60)}' is no plain name")

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
        one, known = self._manifest, {"raw"}
        self._unique("steps", (step.name for step in one.steps))
        for step in one.steps:
            self._names(
                "step",
                step.name,
                *(name for pairs in (step.inputs, step.outputs) for pair in pairs.items() for name in pair),
            )
            self._ids("host step", *(name for name in (step.host, step.fit) if name is not None))
            if step.levels is not None:
                self._number("the size of a level", step.levels.size)
                self._number("a share", step.levels.share, 0, 1)
            missing = sorted({name for own, name in step.inputs.items() if own not in step.state.values()} - known)
            if missing:
                self._broken(f"step {step.name} takes '{missing[0]}', which no step before it makes")
            if step.graph is None and step.host is None:
                self._broken(f"step {step.name} names neither a graph nor a host step")
            if step.drives and step.host is None:
                self._broken(f"step {step.name} drives graphs and names no host step")
            if step.graph is not None:
                self._step_graph(step, one.graphs.get(step.graph))
            for graph, state in step.drives.items():
                self._driven(graph, one.graphs.get(graph), state)
            known |= {*step.outputs.values()}
        if "result" not in known:
            self._broken("no step makes the result")

    def _step_graph(self, step: Step, signature: Signature | None) -> None:
        if signature is None:
            self._broken(f"step {step.name} names graph '{printable(step.graph or '', 60)}', which is not described")
        takes, gives = {spec.name for spec in signature.inputs}, {spec.name for spec in signature.outputs}
        if {*step.inputs, *step.state.values()} != takes or not {*step.outputs, *step.state} <= gives:
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
                self._broken(f"'{printable(chosen, 60)}' is chosen and is no variant")

    def _artifact(self, folder: str, artifact: Artifact, listed: set[str]) -> None:
        self._ids("name", artifact.target, artifact.recipe, artifact.precision)
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
        used = {name for step in self._manifest.steps for name in step.graphs} if folder != "reference" else set[str]()
        for name in used | {*artifact.graphs}:
            if name not in artifact.graphs or name not in self._manifest.graphs:
                self._broken(f"{folder} does not fit graph '{printable(name, 60)}'")
            self._graph(folder, name, artifact.graphs[name], listed)

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

    def _io(self, what: str, spec: TensorSpec, io: TensorIO) -> None:
        rank = len(spec.shape)
        self._names("tensor", io.name)
        if io.dtype not in DTYPES:
            self._broken(f"{what} has the dtype '{printable(io.dtype, 40)}'")
        if io.layout is not None and sorted(io.layout) != list(range(rank)):
            self._broken(f"{what} has a layout that is no order of its {rank} axes")
        if io.max_shape is not None and (
            len(io.max_shape) != rank or not all(1 <= size <= MOST_SIZE for size in io.max_shape)
        ):
            self._broken(f"{what} has a max_shape that does not fit its {rank} axes")
        if isinstance(io.batch, FixedBatch):
            fixed = io.batch.fixed
            if (
                not rank
                or not fixed
                or fixed[0] < 1
                or fixed[-1] > 1 << 20
                or not all(a < b for a, b in pairwise(fixed))
            ):
                self._broken(f"{what} has fixed batches that do not ascend from 1 or more")

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
