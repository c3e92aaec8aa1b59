"""`torchport diff`: the gate between an old Bundle and a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..deployment.options import BY_NAME
from ..errors import BudgetNotMet
from .shared import Json, Progress, Trust, document, note, typed, verb

Old = Annotated[Path, typer.Argument(metavar="OLD", help="The Bundle in use.")]
New = Annotated[Path, typer.Argument(metavar="NEW", help="The Bundle that is to replace it.")]
Budget = Annotated[
    str,
    typer.Option(
        help="What NEW must keep beside OLD, for example accuracy<=1pt,latency<=105%,size<=+10%,memory<=200MB."
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="The task's data: a folder or a file; the golden items of OLD where it is left out.")
]
Variant = Annotated[
    str,
    typer.Option(help="The id of the variant of both, or OLD_ID,NEW_ID; what each Bundle chose where it is left out."),
]

RequireShown = Annotated[bool, typer.Option("--require-shown", help=BY_NAME["require_shown"].help, show_default=False)]


@verb
def run(
    old: Old,
    new: New,
    budget: Budget = "",
    data: Data = None,
    variant: Variant = "",
    require_shown: RequireShown = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Compare an old Bundle with a new one: accuracy, latency, size, memory, and which answers changed. Exit code 4
    where the budget is broken.
    """
    from ..jobs.diff import diff
    from . import tables

    with Progress() as progress:
        found = diff(
            old,
            new,
            budget=budget,
            data=data,
            variant=variant,
            trusted=trust,
            tell=lambda text: progress.tell("compare", text),
        )
    if as_json:
        document(found)
    else:
        tables.difference(found)
    if found.broken:
        raise BudgetNotMet(
            f"{new.name} breaks the budget {found.budget}: {'; '.join(found.broken.values())}",
            f"keep {old.name}, or ask for less; latency<=+10% is a tenth more than OLD, latency<=10% a tenth of it",
        )
    for warning in found.warnings:
        note(f"note: {warning}")
    if require_shown and found.met != "yes":
        raise BudgetNotMet(
            f"{new.name} is not shown to keep {found.budget or 'a budget'}: {found.met_because}",
            "give more --data, or leave out --require-shown to take what is not refuted",
        )
    if not as_json:
        print(
            f"budget kept: {found.met}. {found.met_because}"
            if found.budget
            else "no --budget was given, so nothing was asked of NEW"
        )
        print(f"next:   {typed('torchport', 'verify', new)}")
