"""`torchport deploy`: from a trained model to a chosen, verified Bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .shared import Json, Progress, Quick, RequireShown, Verbose, document, note, verb

if TYPE_CHECKING:
    from ..deploy import Outcome
    from ..request import Request

Budget = Annotated[str | None, typer.Option(help='What must hold, as in "accuracy>=99%,latency<=10ms,size<=8MB,memory<=200MB".')]
Prefer = Annotated[str | None, typer.Option(help="What decides between candidates that keep the budget: latency, size or memory.")]
Calibration = Annotated[Path | None, typer.Option(help="Data that recipes learn from, as --data; a part of a large --data where it is not given.")]
Test = Annotated[Path | None, typer.Option(help="Data that chooses nothing, answered once by what was chosen; a part of a large --data where it is not given.")]
Seed = Annotated[int | None, typer.Option(help="Of every random choice.")]
Time = Annotated[str | None, typer.Option(help="Time for recipes that train and for the search, as in 20m; the best so far is taken then.")]
For = Annotated[str | None, typer.Option("--for", help="Where it will run: python, server, web, android, ios or any.")]
Keep = Annotated[str | None, typer.Option(help="Variants to keep: front, chosen or all.")]
Golden = Annotated[str | None, typer.Option(help="Golden vectors to keep: how many, none, or a folder of inputs to use.")]


@verb
def run(
    source: options.Source = None,
    weights: options.Weights = None,
    arg: options.Arg = None,
    task: options.Task = None,
    set_: options.Set = None,
    data: options.Data = None,
    input_: options.Input = None,
    targets: options.Targets = None,
    recipes: options.Recipes = None,
    budget: Budget = None,
    prefer: Prefer = None,
    calibration: Calibration = None,
    test: Test = None,
    seed: Seed = None,
    time: Time = None,
    for_: For = None,
    keep: Keep = None,
    golden: Golden = None,
    limit: options.Limit = None,
    quick: Quick = None,
    require_shown: RequireShown = False,
    output: options.Output = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """From a trained model to a chosen, verified Bundle."""
    from ..request import Request

    flags = {
        "source": source, "weights": weights, "arg": arg, "data": data, "input": input_, "targets": targets, "recipes": recipes,
        "budget": budget, "prefer": prefer, "calibration": calibration, "test": test, "seed": seed, "time": time, "for": for_, "keep": keep, "golden": golden, "limit": limit, "quick": quick, "require_shown": require_shown or None, "output": output,
    }  # fmt: skip
    request = Request(**options.resolve(flags, task, set_), log=Path("/dev/stderr") if verbose else None)
    finish(build(request), request, as_json=as_json)


def build(request: Request) -> Outcome:
    """Deploy with progress shown."""
    from ..deploy import deploy

    with Progress() as progress:
        return deploy(request, progress.tell)


def finish(outcome: Outcome, request: Request, *, as_json: bool) -> None:
    """Print what came out, and what to type next.

    Raises:
        BudgetNotMet: nothing met the budget; the document is printed before.
    """
    from .. import documents
    from ..attempt import log_name
    from ..measure import ELSEWHERE
    from . import tables

    if as_json:
        document(documents.choice(str(outcome.bundle) if outcome.bundle else None, outcome.choice, outcome.reference))
    else:
        tables.candidates(outcome.choice, outcome.reference)
    if outcome.bundle is None:
        raise outcome.not_met()
    say = note if as_json else print
    say(f"chosen: {outcome.choice.chosen}. {outcome.choice.why}")
    say(f"budget met: {outcome.choice.met}. {outcome.choice.met_because}")
    for warning in outcome.choice.warnings:
        if request.profile in (*ELSEWHERE, "any") or not warning.startswith(ELSEWHERE):
            note(f"note: {warning}")
    say(f"report: {outcome.report}")
    log = log_name(request.output)
    if log.is_file():
        say(f"log:    {log} (what converters printed)")
    say(f"next:   torchport predict {request.output} {request.data or 'YOUR_INPUT'}")
