"""`torchport predict`: answer raw inputs with a Bundle."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ..deployment.options import pairs
from ..types import MOST_THREADS
from .files import Drawer, expand, save_arrays
from .shared import BundlePath, Json, Trust, document, leave, note, verb

if TYPE_CHECKING:
    from ..predict import Predictor

Inputs = Annotated[
    list[Path] | None, typer.Argument(metavar="[INPUT...]", help="Files or folders that the task takes.")
]
Text = Annotated[list[str] | None, typer.Option("--text", help="An input as text instead of a file; repeatable.")]
Variant = Annotated[
    str | None, typer.Option(help="Id of a variant, as in onnx-fp32; the best that runs here if not given.")
]
Threads = Annotated[int | None, typer.Option(min=1, max=MOST_THREADS, help="Threads of the runtime.")]
Top = Annotated[int | None, typer.Option(min=1, help="How many labels to show.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="key=value of a task fact that can be changed here; repeatable.")
]
InGraph = Annotated[bool, typer.Option("--in-graph", help="Use the exported preprocessing instead of the host's.")]
Save = Annotated[
    Path | None,
    typer.Option(
        "--save-outputs", help="Write the model's raw outputs as safetensors, keys <input number>/<output name>."
    ),
]

Drawn = Annotated[
    Path | None,
    typer.Option(
        "--save", help="Write answers that are more than JSON (boxes drawn, speech) to this file, or into this folder."
    ),
]
Stream = Annotated[bool, typer.Option("--stream", help="Show the answer as it grows; on standard error with --json.")]


@verb
def run(
    bundle: BundlePath,
    inputs: Inputs = None,
    text: Text = None,
    variant: Variant = None,
    threads: Threads = None,
    top: Top = None,
    set_: Set = None,
    in_graph: InGraph = False,
    save: Drawn = None,
    save_outputs: Save = None,
    stream: Stream = False,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Answer pictures, texts, recordings, tensors or other raw inputs with a Bundle."""
    from .. import documents
    from ..errors import UsageError
    from ..predict import Predictor

    if not inputs and not text:
        raise UsageError("there is no INPUT", 'name files or folders, or write --text "..."')
    rows: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    with Predictor(
        bundle,
        variant=variant,
        threads=threads,
        in_graph=in_graph,
        trust=trust,
        overrides={**pairs(set_ or [], "--set"), **({"top": top} if top else {})},
    ) as predictor:
        told(predictor)
        files = expand(inputs or [], predictor.pipeline.task.suffixes, predictor.pipeline.task.whole)
        names = [*map(str, files), *(text or [])]
        sources: list[Path | bytes] = [*files, *(one.encode() for one in text or [])]
        drawer = Drawer(save, len(sources)) if save else None
        heard = partly(sys.stderr if as_json else sys.stdout) if stream else None
        for i, (result, values, error) in enumerate(predictor.predict_each(sources, heard)):
            rows.append(documents.prediction(names[i], result, error))
            if values is not None and save_outputs:
                arrays.update({f"{i}/{name}": array for name, array in predictor.outputs(values).items()})
            lines = [] if result is None else predictor.pipeline.task.lines(result)
            if values is not None and drawer:
                lines += [
                    f"saved: {path}"
                    for path in drawer.write(
                        names[i] if i < len(files) else f"text-{i - len(files) + 1}", predictor.drawn(values)
                    )
                ]
            if not as_json:
                answer(names[i], lines, error)
    if save_outputs:
        save_arrays(save_outputs, arrays)
    if as_json:
        document({"bundle": str(bundle), "variant": predictor.variant.id, "results": rows})
    if not all(row["ok"] for row in rows):
        bad = [row for row in rows if not row["ok"]]
        note(f"error: {len(bad)} of {len(rows)} inputs could not be answered: {bad[0]['error']}")
        leave(3)


def told(predictor: Predictor) -> None:
    """What is not as it was when the variant was chosen, a note each."""
    for finding in predictor.findings:
        note(f"note: {predictor.variant.id}: {finding}")


def partly(out: TextIO) -> Callable[[dict[str, Any]], None]:
    """Prints parts of an answer: text that grows as it comes, everything else as a line of JSON."""
    import json

    def print_part(part: dict[str, Any]) -> None:
        grows = set(part) == {"delta"}
        print(
            part["delta"] if grows else json.dumps(part, ensure_ascii=False),
            end="" if grows else "\n",
            file=out,
            flush=True,
        )

    return print_part


def answer(source: str, lines: list[str], error: Exception | None) -> None:
    """One input's answer for people."""
    print(source)
    for line in lines if error is None else [f"error: {error}"]:
        print(f"  {line}")
