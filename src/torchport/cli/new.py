"""`torchport new`: a package of one's own that adds a target or a task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .shared import Json, document, typed, verb

Kind = Annotated[str, typer.Argument(metavar="KIND", help="target or task.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is called in --targets or --task.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Its folder; torchport-NAME if not given.")]


@verb
def run(kind: Kind, name: Name, output: Output = None, as_json: Json = False) -> None:
    """A package that adds a target or a task: it works, passes its conformance run, and is yours to change."""
    from ..jobs.new import new

    made = new(kind, name, output)
    if as_json:
        document(made)
        return
    for file in made.files:
        print(f"{made.folder}/{file}")
    print(f"next:   {typed('pip', 'install', '-e', made.folder)} && {typed('python', '-m', 'pytest', made.folder)}")
