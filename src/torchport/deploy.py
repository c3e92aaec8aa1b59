"""The main job: capture, compress, export, verify, measure, choose, and write the Bundle with its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import isolate, pack
from .bundle import Manifest, trust, writer
from .choose import choose
from .errors import BudgetNotMet, MissingDependency, ParityError, RunError
from .lower import Lowered, lower, recipes_of, wanted
from .measure import measure_all
from .request import Request
from .targets import targets
from .targets.base import ExportOptions
from .tasks import tasks
from .types import Artifact, Candidate, Choice, Reference
from .verify.prove import golden_traces, prove, prove_reference

if TYPE_CHECKING:
    from .capture.assemble import Assembled

Tell = Callable[[str, str], None]


@dataclass(frozen=True)
class Outcome:
    """What a deploy ended with; `bundle` and `manifest` are None where nothing met the budget."""

    bundle: Path | None
    report: Path
    choice: Choice
    reference: Reference
    manifest: Manifest | None

    def not_met(self) -> BudgetNotMet:
        """The error of a deploy without a Bundle, with the nearest misses."""
        nearest = "; ".join(self.choice.nearest.values()) or self.choice.met_because
        return BudgetNotMet(f"{self.choice.why}: {nearest}", f"see {self.report}")


def deploy(request: Request, tell: Tell = lambda stage, detail: None) -> Outcome:
    """Do the whole job; `tell(stage, detail)` hears of progress.

    Returns:
        The Outcome; where nothing met the budget it names the nearest misses, the report is written and no Bundle is.

    Raises:
        TorchportError: there is no Bundle for another reason; the previous one is untouched.
    """
    rows = wanted(request.targets, request.recipes)
    with writer.staging(request.output) as folder, isolate.log_file(request.log, log_name(request.output)) as noise:
        log, variants = noise.path, folder / "variants"
        with isolate.quiet(log):
            assembled = capture(request, tell)
            reference = keep_reference(assembled, folder)
        proven = prove_reference(assembled, lambda item: tell("reference", item))
        golden = golden_traces(proven, request.golden)
        programs = {recipe.name: recipe.apply(assembled.program) for recipe in recipes_of(request.recipes)}
        lowered = lower(programs, rows, variants, log=log, limit_s=request.limit_s, tell=lambda row: tell("export", row))
        writer.check_space(folder, request.output)
        candidates, answers = prove(lowered, assembled, proven, variants, log=log, limit_s=request.limit_s, tell=lambda row: tell("verify", row))
        need_one(candidates, lowered)
        artifacts = {low.wanted.id: low.artifact for low in lowered if low.artifact}
        candidates, eager = measure_all(candidates, artifacts, reference, proven, folder, lambda text: tell("measure", text))
        need_one(candidates, lowered)
        noise.keep = any(c.status == "failed" for c in candidates)
        choice = choose(candidates, eager, request.limits, request.profile)
        made = pack.Made(request, assembled, proven, choice, eager, artifacts, reference, answers, golden)
        if choice.chosen is None:
            report = request.output.with_name(f"{request.output.name}.report.html")
            pack.report(made, report)
            return Outcome(None, report, choice, eager, None)
        tell("pack", request.output.name)
        manifest = pack.fill(made, folder)
        writer.publish(folder, request.output)
    trust.remember_path(request.output)
    return Outcome(request.output, request.output / "report.html", choice, eager, manifest)


def log_name(output: Path) -> Path:
    """Where the noise of converters is left when something failed: beside the Bundle."""
    return output.with_name(f"{output.name}.log")


def capture(request: Request, tell: Tell) -> Assembled:
    """Source, facts and data become an assembled Program.

    Raises:
        MissingDependency: PyTorch is not installed.
        TorchportError: see `open_source` and `assemble`.
    """
    try:
        import torch
    except ImportError as exc:
        raise MissingDependency(f"a model is captured with PyTorch: {exc}", "pip install 'torchport[build]'") from exc

    from .capture.assemble import assemble
    from .capture.source import open_source

    # One thread until the timing: children are forked, and a pool of waiting threads does not survive a fork.
    torch.set_num_threads(1)
    tell("capture", request.source if isinstance(request.source, str) else type(request.source).__name__)
    source = open_source(request.source, args=request.arguments, weights=request.weights)
    return assemble(source, tasks.get(request.task), request.settings, request.data, request.inputs)


def keep_reference(assembled: Assembled, folder: Path) -> Artifact:
    """The eager model itself, under `reference/`."""
    target = next(target for target in map(targets.get, targets.names()) if target.reference)
    (folder / "reference").mkdir()
    return target.export(assembled.model_only, folder / "reference", ExportOptions())


def need_one(candidates: Sequence[Candidate], lowered: Sequence[Lowered]) -> None:
    """Refuse to go on without a single artefact that answers right, in the words of what went wrong.

    Raises:
        ParityError: at least one artefact answers otherwise than the model.
        RunError: artefacts were made, and none runs.
        TorchportError: nothing could be made; of the kind of the first row that failed, else a MissingDependency.
    """
    if any(c.status == "ok" for c in candidates):
        return
    reasons = "; ".join(f"{c.id}: {c.reason}" for c in candidates)
    if any(c.parity is not None and not c.parity for c in candidates):
        raise ParityError(f"no artefact answers like the model ({reasons})", "the named stage is the first that differs")
    errors = [low.error for low in lowered if low.error]
    if len(errors) < len(lowered):
        raise RunError(f"no artefact runs here ({reasons})", "see `torchport doctor`, or try other targets")
    telling = next((error for error in errors if not isinstance(error, MissingDependency)), errors[0])
    raise type(telling)(f"nothing could be made ({reasons})", telling.hint)
