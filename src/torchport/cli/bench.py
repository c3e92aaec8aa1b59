"""`torchport bench`: time every variant of a Bundle here, beside the eager model."""

from __future__ import annotations

from typing import Annotated

import typer

from ..deployment.options import BY_NAME
from .shared import BundlePath, Json, Progress, Trust, document, note, typed, verb

Quick = Annotated[bool | None, typer.Option("--quick", help=BY_NAME["quick"].help, show_default=False)]


@verb
def run(bundle: BundlePath, trust: Trust = False, quick: Quick = None, as_json: Json = False) -> None:
    """Time every variant of a Bundle here, beside the eager model."""
    from .. import documents
    from ..bundle import Bundle
    from ..jobs.bench import bench
    from . import tables

    with Bundle(bundle) as opened, Progress() as progress:
        choice, reference = bench(opened, trusted=trust, quick=quick, tell=lambda text: progress.tell("measure", text))
    if as_json:
        document(documents.choice(str(bundle), choice, reference))
        return
    tables.candidates(choice, reference)
    tables.said([tables.chosen(choice)])
    for warning in choice.warnings:
        note(f"note: {warning}")
    print(f"next:   {typed('torchport', 'predict', bundle)} YOUR_INPUT")
