"""The main job: capture, compress, export, verify, measure, choose, and write the Bundle with its report."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ..bundle import Manifest, trust, writer
from ..choice.choose import choose
from ..errors import BudgetNotMet
from ..figures import choice_summary, choice_table
from ..system import isolate, machine
from ..system.clock import FULL_TIMING_S, Clock
from ..system.noise import redirected
from ..timing import ahead
from ..timing.candidates import Pace, doubts, measure_all
from ..types import Artifact, Candidate, Choice, Reference
from ..verification.accuracy import Answered, mean_grade
from . import write
from .explore import Explored, ProgressCallback, explore, keep_reference, log_name, need_one, see_early
from .explore import reference as reference_target
from .poor import about_data
from .prove import answer_test, golden_traces, prove_test
from .request import Request
from .rows import INTERRUPTED


@dataclass(frozen=True, repr=False)
class Outcome:
    """What a deploy ended with; `bundle` and `manifest` are None where nothing met the budget, or was shown to where
    that was required.

    `interrupted` says that an interrupt ended it early: it holds what was proven by then. A Bundle that was there
    before is then left alone, and the new one lies beside it, with `.interrupted` in its name.
    """

    bundle: Path | None
    report: Path
    choice: Choice
    reference: Reference
    manifest: Manifest | None
    interrupted: bool = False

    def __repr__(self) -> str:
        return f"<Outcome {self.bundle.name if self.bundle else 'without a Bundle'}: {choice_summary(self.choice)}>"

    def _repr_html_(self) -> str:
        return choice_table(self.choice, self.reference)

    def not_met(self) -> BudgetNotMet:
        """The error of a deploy without a Bundle, with the nearest misses, or with what is not shown."""
        if self.choice.chosen is not None:
            return BudgetNotMet(
                f"{self.choice.chosen} is not shown to keep the budget: {self.choice.met_because}",
                f"give more --data, or leave out --require-shown to take what is not refuted; see {self.report}",
            )
        nearest = "; ".join(self.choice.nearest.values()) or self.choice.met_because
        return BudgetNotMet(f"{self.choice.why}: {nearest}", f"see {self.report}")


def deploy(request: Request, tell: ProgressCallback = lambda stage, detail: None) -> Outcome:
    """Do the whole job; `tell(stage, detail)` hears of progress.

    Returns:
        The Outcome; where nothing met the budget it names the nearest misses, the report is written and no Bundle is.

    Raises:
        TorchportError: there is no Bundle for another reason; the previous one is untouched.
    """
    clock = Clock(request.time_s)
    see_early(request)
    with (
        writer.staging(request.output) as folder,
        isolate.log_file(request.log, log_name(request.output)) as noise,
        ahead(reference_target().name) as server,
    ):
        tried = explore(request, folder / "variants", noise.path, tell, clock)
        with redirected(noise.path):
            reference = keep_reference(tried.assembled, folder)
        writer.check_space(folder, request.output)
        busy = machine.busy()
        golden = {name: golden_traces(baseline.proven, request.golden) for name, baseline in tried.baselines.items()}
        pace = Pace(
            request.quick or bool(tried.stopped) or clock.left() < FULL_TIMING_S,
            request.searching,
            clock.timing(request.limit_s),
            server,
        )
        candidates, eager, tried = timed(tried, reference, folder, pace, tell)
        need_one(candidates, tried.lowered)
        noise.keep = any(c.status == "failed" for c in candidates)
        try:
            choice, eager = decide(candidates, eager, tried, request, folder / "variants", noise.path, tell)
        except KeyboardInterrupt:  # as the test split was answered: the choice then rests on the others
            tried = replace(tried, stopped=INTERRUPTED, test=())
            choice, eager = decide(candidates, eager, tried, request, folder / "variants", noise.path, tell)
        choice = msgspec.structs.replace(
            choice,
            warnings=(
                *about_data(tried.assembled, tried.proven),
                *doubts(busy, choice.candidates, choice.chosen_for, eager),
            ),
        )
        interrupted = tried.stopped == INTERRUPTED
        request = spared(request) if interrupted else request
        made = write.Made(request, tried, choice, eager, reference, golden)
        if choice.chosen is None or (request.require_shown and choice.met != "yes"):
            report = request.output.with_name(f"{request.output.name}.report.html")
            write.report(made, report)
            return Outcome(None, report, choice, eager, None, interrupted)
        tell("pack", request.output.name)
        manifest = write.fill(made, folder)
        writer.publish(folder, request.output)
    trust.remember_path(request.output)
    return Outcome(request.output, request.output / "report.html", choice, eager, manifest, interrupted)


def spared(request: Request) -> Request:
    """The request with an output beside the one asked for, where that is there: less than all takes no whole Bundle's
    place.
    """
    if not request.output.exists():
        return request
    return replace(
        request, output=request.output.with_name(f"{request.output.name.removesuffix('.tport')}.interrupted.tport")
    )


def timed(
    tried: Explored, reference: Artifact, folder: Path, pace: Pace, tell: ProgressCallback
) -> tuple[list[Candidate], Reference, Explored]:
    """Every proven row measured; after an interrupt, for a moment each."""

    def measured(pace: Pace) -> tuple[list[Candidate], Reference]:
        pace = replace(pace, short=pace.short and not pace.quick)
        return measure_all(
            tried.candidates, tried.artifacts, reference, tried.proven, folder, lambda text: tell("measure", text), pace
        )

    try:
        return *measured(pace), tried
    except KeyboardInterrupt:
        tell("interrupted", "each is measured for a moment; interrupt again to drop it")
        return *measured(replace(pace, quick=True)), replace(tried, stopped=INTERRUPTED)


def decide(
    candidates: Sequence[Candidate],
    eager: Reference,
    tried: Explored,
    request: Request,
    folder: Path,
    log: Path,
    tell: ProgressCallback,
) -> tuple[Choice, Reference]:
    """The choice, whose winners answered the test split, each once; and the reference, which answered them too.

    Where they refute a winner, another takes its place, and answers them as well.
    """
    choice, asked, known = (
        choose(candidates, eager, request.limits, request.profile, request.prefer),
        set[str](),
        list[Answered | None](),
    )
    while tried.test and (winners := _winners(choice, tried, asked)):
        if not known:
            tell("test", "the model as trained")
            known = answer_test(tried.proven, tried.test)
            eager = msgspec.structs.replace(eager, test_accuracy=mean_grade(known))
        asked |= winners.keys()
        rows = prove_test(
            winners,
            tried.proven,
            tried.test,
            known,
            folder,
            log=log,
            limit_s=request.limit_s,
            tell=lambda text: tell("test", text),
        )
        choice = choose(
            [rows.get(c.id, c) for c in choice.candidates], eager, request.limits, request.profile, request.prefer
        )
    if not request.budget and not request.require_shown and choice.met == "yes":
        because = f"no budget was given; by the default one, {request.limits.text}: {choice.met_because}"
        choice = msgspec.structs.replace(choice, met="not shown", met_because=because)
    more = ["timed for a moment only, as asked for by --quick"] if request.quick and choice.chosen else []
    more += [f"{tried.stopped}: the best so far"] if tried.stopped else []
    return msgspec.structs.replace(choice, why="; ".join([choice.why, *more])), eager


def _winners(choice: Choice, tried: Explored, asked: Collection[str]) -> dict[str, tuple[Candidate, Artifact]]:
    """What won, for any profile or preference, and has not yet answered the test split, with its artefact."""
    best = {choice.chosen, *choice.chosen_for.values(), *choice.preferred.values()} - {None, *asked}
    return {c.id: (c, tried.artifacts[c.id]) for c in choice.candidates if c.id in best and c.id in tried.artifacts}
