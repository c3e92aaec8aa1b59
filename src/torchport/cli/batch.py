"""`torchport batch`: the answers of many inputs as rows of a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ..deployment.options import pairs
from .files import expand
from .predict import Inputs, Set, Threads, Variant, told
from .shared import BundlePath, Json, Progress, Trust, again, document, leave, note, verb

Out = Annotated[Path, typer.Option("-o", "--out", help="The output: NAME.jsonl, a row a line, or NAME.parquet.")]
List = Annotated[
    list[Path] | None, typer.Option("--list", help="A file with the path of an input on each line; repeatable.")
]
Lines = Annotated[
    list[Path] | None, typer.Option("--lines", help="A file of which every line is an input itself; repeatable.")
]
Batch = Annotated[int, typer.Option(min=1, max=4096, help="Inputs of one call of the model, at most.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an output that was begun: each input gets one row.")]


@verb
def run(
    bundle: BundlePath,
    inputs: Inputs = None,
    out: Out = ...,  # type: ignore[assignment]  # typer's word for what must be given
    list_: List = None,
    lines: Lines = None,
    batch: Batch = 16,
    resume: Resume = False,
    variant: Variant = None,
    threads: Threads = None,
    set_: Set = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Answer many inputs with a Bundle, a row each; a run that was stopped goes on by --resume."""
    from ..errors import UsageError
    from ..figures import number
    from ..jobs import batch as job
    from ..predict import Predictor

    if not (inputs or list_ or lines):
        raise UsageError("there is no INPUT", "name files or folders, or a --list of them")
    job.check(out, resume=resume)
    settings = pairs(set_ or [], "--set")
    with Predictor(bundle, variant=variant, threads=threads, trust=trust, overrides=settings) as predictor:
        told(predictor)
        task = predictor.pipeline.task
        named = [*(inputs or []), *(path for one in list_ or [] for path in job.listed(one))]
        asked = job.Inputs(tuple(expand(named, task.suffixes, task.whole)), tuple(lines or []))
        try:
            with Progress() as progress:
                began: list[tuple[float, int]] = []

                def tell(done: int, of: int) -> None:
                    began.append((time.monotonic(), done))
                    del began[1:]
                    rate = (done - began[0][1]) / max(time.monotonic() - began[0][0], 1e-3)
                    progress.tell("answer", f"{done:,} of {of:,}" + (f", {number(rate)}/s" if rate else ""))

                found = job.batch(predictor, asked, out, size=batch, settings=settings, tell=tell)
        except KeyboardInterrupt:
            command = again() + ("" if resume else " --resume")
            note(f"interrupted; {out} keeps the rows that are there. To go on: {command}")
            leave(130)
    if as_json:
        document(found)
    else:
        print(f"{out}: {found.inputs - found.failed:,} answers of {found.inputs:,} inputs, by {found.variant}")
        if found.skipped:
            print(f"{found.skipped:,} of them were there already")
    if found.failed:
        note(f"error: {found.failed} of {found.inputs} inputs could not be answered; their rows say why (ok: false)")
        leave(3)
