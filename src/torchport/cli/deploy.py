"""`torchport deploy`: from a trained model to a chosen, verified Bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import options
from .shared import Progress, again, document, leave, note, typed

if TYPE_CHECKING:
    from ..deployment.deploy import Outcome
    from ..deployment.request import Request


@options.taking(options.DEPLOY)
def run(*, as_json: bool, verbose: bool, **flags: Any) -> None:
    """From a trained model to a chosen, verified Bundle."""
    from ..deployment.request import Request

    request = Request(**options.resolve(flags), log=options.log(verbose=verbose))
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
