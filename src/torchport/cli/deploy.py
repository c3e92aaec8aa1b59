"""`torchport deploy`: from a trained model to a chosen, verified Bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..deployment.request import KEEP, PREFER
from ..targets.base import PROFILES
from . import options
from .shared import Json, Progress, Quick, RequireShown, Verbose, again, document, leave, note, typed, verb

if TYPE_CHECKING:
    from ..deployment.deploy import Outcome
    from ..deployment.request import Request

Budget = Annotated[
    str | None, typer.Option(help='What must hold, as in "accuracy>=99%,latency<=10ms,size<=8MB,memory<=200MB".')
]
Prefer = Annotated[
    str | None,
    typer.Option(
        autocompletion=options.of(lambda: PREFER),
        help="What decides between candidates that keep the budget: latency, size or memory.",
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        help="The calibration split: data that recipes learn from; a part of a large --data where it is not given."
    ),
]
Test = Annotated[
    Path | None,
    typer.Option(
        help="The test split: data that only what was chosen answers, once; a part of a large --data where it is not "
        "given."
    ),
]
Seed = Annotated[int | None, typer.Option(help="Of every random choice.")]
Time = Annotated[
    str | None,
    typer.Option(
        help="Bounds the whole command, as in 20m: what is verified by then is measured and kept, at least one variant."
    ),
]
For = Annotated[
    str | None,
    typer.Option(
        "--for",
        autocompletion=options.of(lambda: (*PROFILES, "any")),
        help="Where it will run: python, server, web, android, ios or any.",
    ),
]
Keep = Annotated[
    str | None, typer.Option(autocompletion=options.of(lambda: KEEP), help="Variants to keep: front, chosen or all.")
]
Golden = Annotated[
    str | None, typer.Option(help="Golden vectors to keep: how many, none, or a folder of inputs to use.")
]


@verb
def run(
    source: options.Source = None,
    weights: options.Weights = None,
    drop: options.Drop = None,
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
    from ..deployment.request import Request

    flags = {
        "source": source, "weights": weights, "drop": drop, "arg": arg, "data": data, "input": input_, "targets":
        targets, "recipes": recipes,
        "budget": budget, "prefer": prefer, "calibration": calibration, "test": test, "seed": seed, "time": time, "for":
        for_, "keep": keep, "golden": golden, "limit": limit, "quick": quick, "require_shown": require_shown or None,
        "output": output,
    }  # fmt: skip
    request = Request(**options.resolve(flags, task, set_), log=Path("/dev/stderr") if verbose else None)
    outcome = build(request)
    finish(outcome, request, as_json=as_json)
    if outcome.interrupted:
        note(f"interrupted: {outcome.bundle} holds what was proven by then. To try the rest, run it again: {again()}")
        leave(130)


def build(request: Request) -> Outcome:
    """Deploy with progress shown."""
    from ..deployment.deploy import deploy

    with Progress() as progress:
        return deploy(request, progress.tell)


def finish(outcome: Outcome, request: Request, *, as_json: bool) -> None:
    """Print what came out, and what to type next.

    Raises:
        BudgetNotMet: nothing met the budget; the document is printed before.
    """
    from .. import documents
    from ..deployment.explore import log_name
    from ..timing.candidates import ELSEWHERE
    from . import tables

    if as_json:
        document(documents.choice(str(outcome.bundle) if outcome.bundle else None, outcome.choice, outcome.reference))
    else:
        tables.candidates(outcome.choice, outcome.reference)
    choice, log = outcome.choice, log_name(request.output)
    for warning in choice.warnings:
        if request.profile in (*ELSEWHERE, "any") or not warning.startswith(ELSEWHERE):
            note(f"note: {warning}")
    if outcome.bundle is None:
        raise outcome.not_met()
    lines = [
        tables.chosen(choice),
        ("budget met:", f"{choice.met}. {choice.met_because}"),
        ("report:", str(outcome.report)),
    ]
    lines += [("log:", f"{log} (what converters printed)")] if log.is_file() else []
    if as_json:
        for heading, text in lines:
            note(f"{heading} {text}")
    else:
        tables.said(lines)
    (note if as_json else print)(f"next:   {next_step(request, outcome)}")


def next_step(request: Request, outcome: Outcome) -> str:
    """A command that works as it stands: answer the data, where it can be answered file by file, or else verify the
    Bundle.
    """
    from ..tasks import tasks

    takes = tasks.need(outcome.manifest.task.name).suffixes if outcome.manifest else ()
    if request.data is not None and (request.data.is_dir() or request.data.suffix.lower() in takes):
        return typed("torchport", "predict", outcome.bundle, request.data)
    return typed("torchport", "verify", outcome.bundle)
