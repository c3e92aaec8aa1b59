"""`torchport debug`: the first layer of a variant that leaves the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ParityError
from .shared import BundlePath, Json, Progress, Trust, document, typed, verb


@verb
def run(
    bundle: BundlePath,
    variant: Annotated[str | None, typer.Option(help="Id of the variant; the chosen one if left out.")] = None,
    item: Annotated[int, typer.Option(help="Number of the golden item, from 0.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for what reproduces it: part, inputs, script, plot.")
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Name the first layer of a variant whose value leaves the reference, with its module and line."""
    import msgspec

    from ..bundle import Bundle
    from ..jobs.debug import debug
    from ..jobs.reproduce import reproduce

    with Bundle(bundle) as opened, Progress() as progress:
        said, found = debug(
            opened, variant=variant, item=item, trusted=trust, tell=lambda row: progress.tell("debug", row)
        )
        files = reproduce(said, found, output) if output is not None else []
    if output is not None:
        said = msgspec.structs.replace(said, folder=str(output))
    if as_json:
        document(said)
    else:
        print(said.said)
        if "show.py" in files:
            print(f"next:   cd {typed(output)} && python show.py")
        elif output is None and found is not None:
            print(f"next:   {typed('torchport', 'debug', bundle, '--variant', said.variant, '-o', 'found')}")
    if said.cause != "none":
        raise ParityError(said.said, "see report.html there" if output else "give -o FOLDER for what reproduces it")
