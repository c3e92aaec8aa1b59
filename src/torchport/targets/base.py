"""The contract of a target: `Target.export` writes an artefact, `Target.open` answers with a `Runner`.

A target writes `_export` (one graph, build half) and a Runner with `_open`, `_run`, `_close` (run half). Everything a
runtime needs to be told apart from the signature (names, dtypes, layouts, batches) is data, `GraphFile.io`, applied
here and nowhere else.
"""

from __future__ import annotations

import abc
import hashlib
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec

from ..errors import ExportError, MissingDependency, RunError, TorchportError, UnsupportedByTarget, first_line
from ..feed import Arrays, Feed, check_feed, is_batched
from ..system import machine
from ..system.disk import FULL, full
from ..types import IMPORTS, PLAIN, Artifact, BuiltFor, GraphFile, Signature, TensorIO
from .shared.part import Part
from .shared.roads import files_in, taken
from .shared.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..frontend.layers import Layer
    from ..frontend.program import GraphProgram, Program

__all__ = [
    "PROFILES",
    "Arrays",
    "Availability",
    "ExportOptions",
    "Feed",
    "Runner",
    "Target",
    "check_feed",
    "is_batched",
    "plain_io",
]

PROFILES = ("python", "server", "web", "android", "ios")
"""Where a Bundle may run; `any` on the command line means all of them."""

GROUP = 64
"""Weights that share a scale where a quantiser rounds in groups, unless `ExportOptions.strength` says otherwise."""


@dataclass(frozen=True)
class ExportOptions:
    """What an export is asked for.

    Attributes:
        recipe: the recipe's name, recorded in the artefact.
        precision: `fp32`, `fp16`, `int8`, ...: what the recipe asks this target to store and compute in.
        strength: the number in `name@strength` of the recipe that the target carries out itself; None is the usual one.
        max_batch: bound of the batch dimension for targets that plan memory ahead.
        max_size: bound of any other unbounded dimension for targets that plan memory ahead.
        feeds: graph -> calibration feeds of one item each, for quantisers that fit weights to them; empty where there
        are none.
        rewrite: write otherwise what can be, although the plain road leads somewhere: what it led to answers wrongly.
    """

    recipe: str = "fp32"
    precision: str = "fp32"
    strength: float | None = None
    max_batch: int = 8
    max_size: int = 1024
    feeds: Mapping[str, Sequence[Arrays]] = field(default_factory=dict)
    rewrite: bool = False


@dataclass(frozen=True)
class Availability:
    """Whether a target works here: `status` is ok, absent (not installed) or broken (installed, does not load)."""

    status: Literal["ok", "absent", "broken"]
    reason: str | None = None


class Target(abc.ABC):
    """One way to run a model: a file format and the runtime that opens it.

    Class attributes:
        name, suffix: `[a-z0-9_]+`, and the entry file's suffix without the dot; of a format that is a folder, also the
            entry's path in it.
        library: the distribution (`packages[0]`) and import name (`module`) of the runtime.
        precisions: what a recipe may ask for.
        tolerances: greatest `max_rel` of the model graph from the same tensor, by `(precision, device)`; none for
            integers.
        profiles: where artefacts of this target can run; `python` and `server` only if torch is not needed.
        reference: what others are compared with, never a candidate.
        turn: when its rows are made, from 0 (converts in seconds) to 2 (may take minutes).
        automatic: `--targets auto` takes it; one that it leaves out is named, or asked for by the profile or by `all`.
        executes_code: opening or running a file of a stranger may run the stranger's code.
        systems: where the runtime works at all, by the names of `BuiltFor`; empty is everywhere.
        opens: artefacts made with which releases of `packages[0]` its runtime opens, by their first two numbers: `any`
            (the format says what it needs), `older` ones than the one here too, or the `same` only.
        xfail: conformance check -> why it is expected to fail (strict): `check_parity`, for one toy
            `check_export[scripted]`, for one precision `check_parity[int8_static]`.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    module: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    build_modules: ClassVar[tuple[str, ...]] = ()
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    tolerances: ClassVar[Mapping[tuple[str, str], float]] = {("fp32", "cpu"): 1e-4}
    profiles: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[bool] = False
    turn: ClassVar[int] = 1
    automatic: ClassVar[bool] = True
    executes_code: ClassVar[bool] = False
    systems: ClassVar[tuple[str, ...]] = ()
    opens: ClassVar[Literal["any", "older", "same"]] = "any"
    xfail: ClassVar[Mapping[str, str]] = {}
    runner: ClassVar[type[Runner]]

    def available(self, *, build: bool = False) -> Availability:
        """Whether the runtime (and, with `build`, the converter) is installed and loads."""
        missing = [
            m
            for m in (self.module, *(self.build_modules if build else ()))
            if importlib.util.find_spec(m.partition(".")[0]) is None
        ]
        if missing:
            return Availability("absent", reason=f"{missing[0]} is not installed")
        try:
            self.load_library()
        except Exception as exc:  # a runtime may fail to load in any way: that is what is reported
            return Availability("broken", reason=first_line(exc))
        return Availability("ok")

    def version(self) -> str:
        """Version of the runtime's distribution."""
        return _version(self.packages[0])

    def load_library(self) -> None:
        """Import all that opening an artefact will import, in silence. What is taken after it, in memory and time, is
        the artefact's own.
        """
        importlib.import_module(self.module)

    def slowest_import(self) -> str:
        """The package whose import is most of `load_library`: processes that time are forked from one that has it."""
        return self.module

    def needs(self, precision: str) -> tuple[str, str] | None:
        """The target, and the precision, whose artefact this one starts from for that precision; None when it starts
        from the Program.
        """
        return None

    def session(self, precision: str) -> dict[str, str]:
        """Settings of the runtime's session that a graph of that precision is to be opened with."""
        return {}

    def built_for(self, options: ExportOptions) -> BuiltFor | None:
        """The machines that can run what `export` makes here; None is any that has the runtime."""
        return BuiltFor(systems=self.systems) if self.systems else None

    def fits(self, artifact: Artifact) -> str | None:
        """Why this machine cannot run an artefact, in words; None where nothing is known against it."""
        return machine.lacks(artifact.built_for)

    def tolerance(self, precision: str, device: str = "cpu") -> float | None:
        """Greatest allowed `max_rel` of the model graph from the same input; None for a runtime's own integers, judged
        by noise and answers.
        """
        return self.tolerances.get((precision, device))

    def export(
        self, program: Program, folder: Path, options: ExportOptions, parent: Artifact | None = None
    ) -> Artifact:
        """Convert every graph of a Program and write it into a folder.

        A graph that the target cannot express is left out, and the artefact says why, where the host answers for it.

        Args:
            program: what was captured.
            folder: where to write; it exists. With a parent it holds the parent's files under `parent/`.
            options: recipe, precision and bounds.
            parent: the artefact of the target named by `needs`; see `shared.parents.Exporter`.

        Raises:
            UnsupportedByTarget: this target cannot express the model or recipe.
            ExportError: the converter failed.
            OutputError: the disk is full.
            MissingDependency: the converter is not installed.
        """
        state = self.available(build=True)
        if state.status != "ok":
            raise MissingDependency(f"{self.name}: {state.reason}", "see `torchport doctor`")
        if options.precision not in self.precisions:
            raise ExportError(f"{self.name} has no {options.precision}", f"it offers {', '.join(self.precisions)}")
        graphs, declined, notes = dict[str, GraphFile](), dict[str, str](), list[str]()
        for name in program.graphs:
            try:
                graphs[name], said = self._made(program, name, folder, options, parent)
            except UnsupportedByTarget as exc:
                if name not in program.optional:
                    raise
                declined[name] = exc.message
                said = [f"no graph {name}, which the host answers for: {exc.message}"]
            notes += said
        return Artifact(
            target=self.name,
            recipe=options.recipe,
            precision=options.precision,
            graphs=graphs,
            declined=declined,
            imports=tuple(program.imports) if self.module == "torch" else (),
            requires={package: _version(package) for package in self.packages},
            built_for=self.built_for(options),
            notes=tuple(dict.fromkeys(notes)),
        )

    def _made(
        self, program: Program, name: str, folder: Path, options: ExportOptions, parent: Artifact | None
    ) -> tuple[GraphFile, Sequence[str]]:
        """One graph's files, in the precision that is its own; a graph around the model may come from the cache."""
        from .shared.conversion_cache import once

        if parent is not None and name in parent.declined:
            raise UnsupportedByTarget(parent.declined[name])
        weighted = name in program.weighted
        precision = program.precisions.get(name, options.precision if weighted else PLAIN)
        own = replace(options, precision=precision)
        before = parent.graphs[name] if parent else None
        graph, notes = (self.convert if weighted else partial(once, self))(program.graphs[name], folder, own, before)
        return msgspec.structs.replace(graph, precision=precision), notes

    def convert(
        self, graph: GraphProgram, folder: Path, options: ExportOptions, parent: GraphFile | None
    ) -> tuple[GraphFile, Sequence[str]]:
        """One graph written into a folder, and what there is to say of it; see `export`.

        Where the plain road fails, the graph is written otherwise, if there is something in it that can be.
        """
        return taken(self._plainly, graph, folder, options, parent)

    def _plainly(
        self, graph: GraphProgram, folder: Path, options: ExportOptions, parent: GraphFile | None
    ) -> tuple[GraphFile, Sequence[str]]:
        entry = folder / f"{graph.name}.{self._suffix(graph)}"
        before, notes = files_in(folder), list[str]()
        try:
            io = graph.lowered_by(self._export, entry, options, parent, notes.append)
        except TorchportError:
            raise
        except Exception as exc:
            if isinstance(exc, OSError) and exc.errno in FULL:
                raise full(entry) from exc
            failed = ExportError(
                f"{self.name} could not convert graph '{graph.name}': {first_line(exc)}",
                "see the log, or try another target",
            )
            failed.failed_at = getattr(exc, "failed_at", None)
            raise failed from exc
        name = entry.relative_to(folder).as_posix()
        files = sorted(files_in(folder) - before | {name})
        return GraphFile(entry=name, files=tuple(files), io=io, session=self.session(options.precision)), notes

    def _suffix(self, graph: GraphProgram) -> str:
        """The entry file's suffix, for a target that writes one format or another depending on what was captured."""
        return self.suffix

    @abc.abstractmethod
    def _export(
        self,
        graph: GraphProgram,
        entry: Path,
        options: ExportOptions,
        parent: GraphFile | None,
        note: Callable[[str], None],
    ) -> dict[str, TensorIO]:
        """Convert one graph into `entry` (more files may lie beside it); how each tensor is spelled in it."""

    def fingerprint(self, path: Path) -> str:
        """A hash that one file of two exports of the same program shares: of its bytes, unless the format forbids."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def layers(self, graph: GraphFile, folder: Path, feed: Arrays) -> list[Layer] | None:
        """The value of every operator of a graph for one feed; None where the runtime hands out none of them.

        Args:
            graph: of an artefact that lies in `folder`.
            feed: arrays by the artefact's own names, in its own dtypes.
        """
        return None

    def part(self, entry: Path, inputs: Sequence[str], output: str, folder: Path) -> Part | None:
        """Write what makes one inner value of a graph into a folder, as small as can be.

        Args:
            entry: the graph's file.
            inputs: names of inner values that the part may read in place of the graph's inputs.
            output: name of the value.

        Returns:
            None where this runtime hands out no inner values.
        """
        return None

    def open(
        self,
        artifact: Artifact,
        folder: Path,
        signature: Signature,
        graph: str = "model",
        *,
        device: str = "cpu",
        provider: str | None = None,
        threads: int | None = None,
    ) -> Runner:
        """Open one graph of an artefact that lies in `folder`.

        Raises:
            MissingDependency: the runtime is not installed.
            RunError: the runtime refuses the file, or this machine is none that it was built for.
            UnsupportedByTarget: the artefact has no such graph.
        """
        if graph in artifact.declined:
            raise UnsupportedByTarget(
                f"{self.name} has no graph '{graph}': {artifact.declined[graph]}",
                "use its host step, or another variant",
            )
        if (why := self.fits(artifact)) is not None:
            raise RunError(f"{artifact.graphs[graph].entry} cannot run here: {why}", "use another variant")
        try:
            for module in (name for name in artifact.imports if name in IMPORTS):
                importlib.import_module(module)
            self.load_library()
        except ImportError as exc:
            raise MissingDependency(f"{self.name}: {exc}", "see `torchport doctor` for the install line") from exc
        except Exception as exc:  # native libraries fail to load in any way
            raise RunError(f"{self.name} does not load: {first_line(exc)}", "see `torchport doctor`") from exc
        try:
            return self.runner(
                signature, artifact.graphs[graph], folder, device=device, provider=provider, threads=threads
            )
        except TorchportError:
            raise
        except Exception as exc:
            raise RunError(
                f"{self.name} cannot open {artifact.graphs[graph].entry}: {first_line(exc)}",
                f"made with {artifact.requires}, here {self.version()}",
            ) from exc


def plain_io(
    signature: Signature,
    *,
    names: Mapping[str, str] | None = None,
    max_shapes: Mapping[str, tuple[int, ...]] | None = None,
    narrower: Mapping[str, str] | None = None,
) -> dict[str, TensorIO]:
    """The io of an artefact that spells tensors as captured, but for other names, bounded shapes, or the dtypes that it
    has in place of some.
    """
    return {
        spec.name: TensorIO(
            name=(names or {}).get(spec.name, spec.name),
            dtype=(narrower or {}).get(spec.dtype, spec.dtype),
            batch="dynamic" if is_batched(spec) else "none",
            max_shape=(max_shapes or {}).get(spec.name),
        )
        for spec in (*signature.inputs, *signature.outputs)
    }


def _version(package: str) -> str:
    from importlib.metadata import version  # takes 16 ms, which opening an artefact has no need of

    return version(package)
