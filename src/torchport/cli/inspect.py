"""`torchport inspect`: what a Bundle is."""

from __future__ import annotations

from typing import Annotated

import typer

from .shared import BundlePath, Json, document, typed, verb

Full = Annotated[
    bool,
    typer.Option(
        "--full",
        help="All that the Bundle's README says: the chain, the graphs, programs that run it without torchport.",
    ),
]


@verb
def run(bundle: BundlePath, full: Full = False, as_json: Json = False) -> None:
    """What a Bundle is, in ten lines; with --json all of its manifest."""
    from ..bundle import Bundle, readme, summary
    from . import tables

    with Bundle(bundle) as opened:
        if as_json:
            document(opened.manifest)
            return
        if full:
            print(readme.text(opened.manifest))
        else:
            tables.said(summary.lines(opened.manifest))
    print(f"next:   {typed('torchport', 'verify', bundle)}")
