"""What a deploy tries: the model captured and compressed, every row exported and held against the model; nothing is
measured yet.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..bundle.grammar import NAME, printable
from ..choice.limits import shortfall
from ..compress import Chain, Link, RecipeContext
from ..errors import BadInput, CaptureError, MissingDependency, ParityError, RunError, TorchportError, UsageError
from ..system import cache
from ..system.clock import SEARCH_SHARE, Clock
from ..system.noise import redirected
from ..targets import targets
from ..targets.base import ExportOptions, Target
from ..tasks import Item, Task, need_task, task_for, tasks
from ..types import PLAIN, Artifact, Candidate, Reference
from ..verification import SIZES
from ..verification.accuracy import judge
from .data_split import Parts, check_enough, feeds, split
from .lower import Lowering, LoweringResult, chains_of, names_of, ordered, rows_of, wanted
from .prove import Baseline, Prover, prove_program, prove_reference
from .request import Request
from .rows import INTERRUPTED, OUT_OF_TIME, Rows
from .search import Evaluation, Search, usable

if TYPE_CHECKING:
    from ..frontend.program import Program
    from ..frontend.source import Source
    from .assemble import Assembled
    from .prove import ReferenceAnswers

ProgressCallback = Callable[[str, str], None]


@dataclass(frozen=True)
class Explored:
    """What became of every row that was asked for.

    Attributes:
        baselines: chain name -> what its artefacts were held against; `fp32` is the model as trained.
        test: the items of the test split.
        candidates: one a row, with parity and accuracy; at least one is ok. After them those that a search left out.
        answers: candidate id -> one presented result an item.
        stopped: why not all was tried, in words; empty where all was.
    """

    assembled: Assembled
    baselines: dict[str, Baseline]
    test: Sequence[Item]
    lowered: Sequence[LoweringResult]
    candidates: list[Candidate]
    answers: dict[str, list[Any]]
    stopped: str = ""

    @property
    def proven(self) -> ReferenceAnswers:
        """The answers of the model as trained."""
        return self.baselines[PLAIN].proven

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Candidate id -> what lies in its folder."""
        return {low.wanted.id: low.artifact for low in self.lowered if low.artifact}


def explore(request: Request, folder: Path, log: Path, tell: ProgressCallback, clock: Clock | None = None) -> Explored:
    """Capture, compress, export into `folder/<id>`, and hold every artefact against the eager model.

    The model as trained goes first, on every target, and training and the search after it. Where the clock runs out or
    an interrupt comes when one row is proven, that ends it, and what is proven stands.

    Raises:
        KeyboardInterrupt: before one row was proven.
        TorchportError: there is nothing to go on with; see `capture`, `prove_reference` and `need_one`.
    """
    clock = clock or Clock()
    asked_for = names_of(request.targets, request.profile)
    plain = [] if request.searching else wanted(asked_for, request.recipes)
    assembled = capture(request, tell, log)
    assembled, parts = divide(request, assembled)
    baselines = {PLAIN: Baseline(prove_reference(assembled, lambda item: tell("reference", item)))}
    with redirected(log):
        made = _Made(request, assembled, _context(request, assembled, parts, tell, clock), baselines)

    def program(chain: Chain) -> Program | TorchportError:
        with redirected(log):
            return made.program(chain)

    rows = Rows(
        program,
        Lowering(folder, made.work.feeds, log),
        Prover(assembled, folder, log),
        baselines,
        clock,
        request.limit_s,
        tell,
    )
    out: list[Candidate] = []
    asked = plain
    try:
        if request.searching:
            rows.take(ordered(rows_of(asked_for, [Chain()])))
            with redirected(log):
                search = Search(
                    made.evaluate,
                    made.work,
                    lambda name: tell("search", name),
                    lambda chain: bool(rows_of(asked_for, [chain])),
                )
                chains = search.run()
            out = [made.left_out(one) for one in search.left_out()]
            asked = rows_of(asked_for, chains)
        rows.take(ordered(asked))
    except KeyboardInterrupt:
        if not rows.proven:
            raise
        tell("interrupted", "what is proven so far is measured and written; interrupt again to drop it")
        rows.stopped = INTERRUPTED
        rows.take(asked)
    candidates = (
        [made.reject_early(candidate) for candidate in rows.candidates] if request.searching else rows.candidates
    )
    need_one(candidates, rows.lowered)
    stopped = rows.stopped or (OUT_OF_TIME if request.searching and made.work.left() <= 0 else "")
    return Explored(assembled, baselines, parts.test, rows.lowered, [*candidates, *out], rows.answers, stopped)


def divide(request: Request, assembled: Assembled) -> tuple[Assembled, Parts]:
    """The items by what they are for: all select where no recipe alters an answer, and nothing is left for a test
    then.
    """
    task, facts, model = (
        assembled.task,
        assembled.facts,
        assembled.program.graphs[assembled.program.weighted[0]].signature,
    )
    given = [
        None if path is None else task.settle(path, task.items(path, facts), facts, model).items
        for path in (request.calibration, request.test)
    ]
    plain = not request.searching and all(chain.plain for chain in chains_of(request.recipes))
    if plain or assembled.made_up:
        return assembled, Parts([], assembled.items, given[1] or [])
    parts = split(assembled.items, *given)
    return replace(assembled, items=parts.selection), parts


def _context(
    request: Request, assembled: Assembled, parts: Parts, tell: ProgressCallback, clock: Clock
) -> RecipeContext:
    """What the recipes may use; calibration items are read only where a chain learns from them."""
    learning = request.searching or any(chain.needs_data for chain in chains_of(request.recipes))
    fed, labels = feeds(assembled, parts.calibration) if learning and parts.calibration else ({}, [])
    return RecipeContext(
        assembled.program,
        fed,
        labels,
        request.seed,
        clock.deadline(SEARCH_SHARE),
        cache.folder(),
        lambda text: tell("compress", text),
    )


@dataclass
class _Made:
    """Programs as they are made: by name, with what each itself answers in `baselines`."""

    request: Request
    assembled: Assembled
    work: RecipeContext
    baselines: dict[str, Baseline]
    programs: dict[str, Program | TorchportError] = field(default_factory=dict)

    def program(self, chain: Chain) -> Program | TorchportError:
        """A chain's Program, or why there is none; made once."""
        if chain.name not in self.programs:
            known = {
                name: program for name, program in self.programs.items() if not isinstance(program, TorchportError)
            }
            try:
                program = chain.apply(self.assembled.program, self.work, known)
                if chain.baseline not in self.baselines:
                    self.baselines[chain.baseline] = prove_program(
                        self.assembled,
                        program,
                        self.baselines[PLAIN].proven,
                        quantised=chain.quantised,
                        tell=self.work.tell,
                    )
                self.programs[chain.name] = program
            except TorchportError as exc:
                self.programs[chain.name] = exc
        return self.programs[chain.name]

    def evaluate(self, chain: Chain) -> Evaluation:
        """Whether the answers of a chain's own Program keep the budget."""
        program = self.program(chain)
        return (
            Evaluation(chain, str(program))
            if isinstance(program, TorchportError)
            else Evaluation(chain, self.shortfall(self.answered(chain)))
        )

    def answered(self, chain: Chain) -> Candidate:
        """A row for what was never exported, under the name of the eager reference, which answered for it where there
        is a Program.
        """
        base = Candidate(
            id=f"{reference().name}-{chain.name}", target=reference().name, recipe=chain.name, precision=chain.precision
        )
        baseline = self.baselines.get(chain.baseline)
        if baseline is None:
            return msgspec.structs.replace(base, status="failed", failed_at="quantise")
        accuracy, agreement = judge(self.assembled.task, baseline.proven.answers, self.baselines[PLAIN].proven.answers)
        return msgspec.structs.replace(base, status="rejected", accuracy=accuracy, agreement=agreement)

    def left_out(self, found: Evaluation) -> Candidate:
        """The row of a chain that goes no further."""
        row = msgspec.structs.replace(self.answered(found.chain), reason=found.reason)
        return row if found.tried else msgspec.structs.replace(row, status="absent")

    def shortfall(self, candidate: Candidate) -> str | None:
        """What a row's answers fall short of the budget by; None where they keep it."""
        return shortfall(
            candidate,
            Reference(latency_ms=None, accuracy=self.baselines[PLAIN].proven.accuracy, size_bytes=None),
            self.request.limits,
        )

    def reject_early(self, candidate: Candidate) -> Candidate:
        """The row, rejected before it is timed where its answers do not keep the budget."""
        short = self.shortfall(candidate) if candidate.status == "ok" else None
        return candidate if short is None else msgspec.structs.replace(candidate, status="rejected", reason=short)


def reference() -> Target:
    """The target that answers for the model as trained."""
    return next(target for target in map(targets.get, targets.names()) if target.reference)


def see_early(request: Request) -> None:
    """What can be told of a mistyped path or value at once: PyTorch takes seconds to load.

    Raises:
        BadInput: there is no such file. UsageError: a value is impossible whatever the source says.
    """
    if request.data is not None and not request.data.exists():
        raise BadInput(
            f"--data {request.data} does not exist", "check the path; `torchport tasks NAME` says what a task takes"
        )
    file, colon, _ = request.source.rpartition(":") if isinstance(request.source, str) else ("", "", "")
    if colon and file.endswith(".py") and not Path(file).is_file():
        raise BadInput(f"there is no file '{file}'", "check the path before the colon")
    task = tasks.get(request.task) if request.task else None
    try:
        if task is not None:
            task.resolve(request.settings, {})
    except UsageError as exc:
        said = set(re.findall(r"\w+", exc.message))
        if task and said & set(request.settings) and not said & (set(task.defaults) - set(request.settings)):
            raise  # otherwise it may be that only the source has what is missed
    except TorchportError:
        pass


def capture(request: Request, tell: ProgressCallback, log: Path | None = None) -> Assembled:
    """Source, facts and data become an assembled Program; what the source has to say of itself comes as
    RuntimeWarnings.

    Args:
        log: where what PyTorch prints goes; None lets it through.

    Raises:
        MissingDependency: PyTorch is not installed.
        TorchportError: see `open_source` and `assemble`.
    """
    see_early(request)
    try:
        import torch
    except ImportError as exc:
        raise MissingDependency(f"a model is captured with PyTorch: {exc}", "pip install 'torchport[build]'") from exc

    from ..frontend.source import open_source
    from .assemble import assemble

    # One thread until the timing: children are forked, and a pool of waiting threads does not survive a fork.
    torch.set_num_threads(1)
    tell("capture", request.source if isinstance(request.source, str) else type(request.source).__name__)
    hushed = contextlib.nullcontext if log is None else lambda: redirected(log)
    with hushed():
        source = open_source(request.source, args=request.arguments, weights=request.weights, drop=request.drop)
    for text in source.notes:
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    # Made-up tensors are the model's own input, whatever it is for.
    name = request.task or task_for(source.architecture if request.data is not None or not request.inputs else "")
    if not request.task and request.data is not None:
        need_task(source.architecture, name, request.data)
    check_calibration(request, tasks.get(name), source)
    with hushed():
        assembled = assemble(source, tasks.get(name), request.settings, request.data, request.inputs)
    need_names(assembled)
    for graph in assembled.program.graphs.values():
        if "batch" in graph.said:
            warnings.warn(graph.said["batch"], RuntimeWarning, stacklevel=2)
    return assembled


def need_names(assembled: Assembled) -> None:
    """See that every input and output has a name that a Bundle may hold, before anything is exported.

    Raises:
        CaptureError: names the first that has not.
    """
    for signature in assembled.graphs.values():
        for what, specs in (("input", signature.inputs), ("output", signature.outputs)):
            for spec in specs:
                if not NAME.fullmatch(spec.name):
                    raise CaptureError(
                        f"the model's {what} '{printable(spec.name)[:80]}' has a name that no Bundle may hold",
                        "name it with letters, digits and . : / @ + = , # % & * [ ] - _, at most 256 of them",
                    )


def check_calibration(request: Request, task: Task, source: Source) -> None:
    """Before the model is captured: whether the recipes that learn from data will have enough of it.

    Raises:
        BadInput: no recipe that was asked for will; see `check_enough`.
    """
    chains = [Chain((Link(recipe),)) for recipe in usable()] if request.searching else chains_of(request.recipes)
    if any(chain.needs_data for chain in chains):
        facts, _ = task.resolve(request.settings, source.facts)
        if request.inputs and request.data is not None and task.takes_tensors:
            from ..frontend.inputs import parse

            facts = task.named(facts, request.data, parse(request.inputs).tensors)
        given = [None if path is None else task.items(path, facts) for path in (request.data, request.calibration)]
        check_enough(chains, *given)


def keep_reference(assembled: Assembled, folder: Path) -> Artifact:
    """The eager model itself, under `reference/`."""
    (folder / "reference").mkdir()
    return reference().export(assembled.reference, folder / "reference", ExportOptions())


def need_one(candidates: Sequence[Candidate], lowered: Sequence[LoweringResult]) -> None:
    """Refuse to go on without a single artefact that answers right, in the words of what went wrong.

    Raises:
        ParityError: at least one artefact answers differently from the model.
        RunError: artefacts were made, and none runs.
        TorchportError: nothing could be made; of the kind of the first row that failed, else a MissingDependency.
    """
    if any(c.status == "ok" for c in candidates):
        return
    reasons = "; ".join(f"{c.id}: {c.reason}" for c in candidates)
    if any(c.parity is not None and not c.parity for c in candidates):
        sized = any(c.parity is not None and c.parity.stage == SIZES for c in candidates)
        bound = (
            '; a size can be fixed, or bounded, by --input as in "x:float32[batch,3,224,width=32..640/32]"'
            if sized
            else ""
        )
        raise ParityError(
            f"no artefact answers like the model ({reasons})", f"the named stage is the first that differs{bound}"
        )
    errors = [low.error for low in lowered if low.error]
    if len(errors) < len(lowered):
        raise RunError(
            f"no artefact runs here ({reasons})", "try other targets; `torchport doctor` lists what works here"
        )
    telling = next((error for error in errors if not isinstance(error, MissingDependency)), errors[0])
    raise type(telling)(f"nothing could be made ({reasons})", telling.hint)


def log_name(output: Path) -> Path:
    """Where the noise of converters is left when something failed: beside the Bundle."""
    return output.with_name(f"{output.name}.log")
