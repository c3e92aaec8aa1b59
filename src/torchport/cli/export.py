"""`torchport export`: convert a model without choosing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from . import options
from .shared import Progress, again, document, leave, note, typed


@options.taking(options.EXPORT)
def run(*, as_json: bool, verbose: bool, **flags: Any) -> None:
    """Convert a model without choosing: one folder a target, each checked against the model."""
    from ..deployment.export import ExportDocument, export
    from ..deployment.request import Request
    from ..deployment.rows import INTERRUPTED
    from . import tables

    flags["recipes"] = flags["recipes"] or "fp32"
    request = Request(**options.resolve(flags), log=options.log(verbose=verbose))
    with Progress() as progress:
        rows = export(request, progress.tell)
    stopped = any(row.reason == f"not tried: {INTERRUPTED}" for row in rows)
    if as_json:
        document(ExportDocument(folder=str(request.output), artifacts=tuple(rows)))
    else:
        tables.exported(rows)
    if stopped:
        note(
            f"interrupted: {request.output} holds what was verified by then. To try the rest, give another -o and run "
            f"it again: {again()}"
        )
        leave(130)
    if as_json:
        return
    print(f"next:   {typed('torchport', *deploying(sys.argv[1:], request.output))}")


def deploying(words: list[str], output: Path) -> list[str]:
    """What was typed, as a deploy, which measures and chooses: into a Bundle beside the folder."""
    kept, skip = [], False
    for word in words[words.index("export") + 1 :]:
        if not skip and word != "--json" and not word.startswith(("-o", "--output")):
            kept.append(word)
        skip = word in ("-o", "--output")
    return ["deploy", *kept, "-o", f"{output}.tport"]
