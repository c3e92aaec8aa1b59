"""`torchport export`: convert a model without choosing."""

from __future__ import annotations

from pathlib import Path

from . import options
from .shared import Json, Progress, Verbose, document, verb


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
    limit: options.Limit = None,
    output: options.Output = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Convert a model without choosing: one folder a target, each checked against the model."""
    from ..export import ExportDocument, export
    from ..request import Request
    from . import tables

    flags = {
        "source": source, "weights": weights, "arg": arg, "data": data, "input": input_,
        "targets": targets, "recipes": recipes or "fp32", "limit": limit, "output": output,
    }  # fmt: skip
    request = Request(**options.resolve(flags, task, set_), log=Path("/dev/stderr") if verbose else None)
    with Progress() as progress:
        rows = export(request, progress.tell)
    if as_json:
        document(ExportDocument(folder=str(request.output), artifacts=tuple(rows)))
        return
    tables.show(
        "",
        ["id", "status", "files", "max_rel", "reason"],
        [[r.id, r.status, ", ".join(r.files), "" if r.max_rel is None else f"{r.max_rel:.0e}", r.reason or ""] for r in rows],
        wrap=["files", "reason"],
    )
    print(f"next:   torchport deploy {source} -o {request.output.name}.tport   (measures and chooses)")
