"""`torchport predict`: answer raw inputs with a Bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .shared import BundlePath, Json, Trust, document, leave, note, verb

Inputs = Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Files or folders that the task takes.")]
Variant = Annotated[str | None, typer.Option(help="Id of a variant, as in onnx-fp32; the best that runs here if not given.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the runtime.")]
Top = Annotated[int | None, typer.Option(min=1, help="How many labels to show.")]
InGraph = Annotated[bool, typer.Option("--in-graph", help="Use the exported preprocessing instead of the host's.")]
Save = Annotated[Path | None, typer.Option("--save-outputs", help="Write the model's raw outputs as safetensors, keys <input number>/<output name>.")]


@verb
def run(
    bundle: BundlePath,
    inputs: Inputs,
    variant: Variant = None,
    threads: Threads = None,
    top: Top = None,
    in_graph: InGraph = False,
    save_outputs: Save = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Answer pictures, tensors or other raw inputs with a Bundle."""
    from .. import documents
    from ..predict import Predictor, expand, save_arrays

    rows: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    with Predictor(bundle, variant=variant, threads=threads, in_graph=in_graph, trust=trust, overrides={"top": top} if top else {}) as predictor:
        sources = expand(inputs, predictor.pipeline.task.suffixes)
        for i, (result, values, error) in enumerate(predictor.predict_each(sources)):
            rows.append(documents.prediction(str(sources[i]), result, error))
            if values is not None and save_outputs:
                arrays.update({f"{i}/{name}": array for name, array in predictor.outputs(values).items()})
            if not as_json:
                show(sources[i], [] if result is None else predictor.pipeline.task.lines(result), error)
        used = predictor.variant.id
    if save_outputs:
        save_arrays(save_outputs, arrays)
    if as_json:
        document({"bundle": str(bundle), "variant": used, "results": rows})
    if not all(row["ok"] for row in rows):
        bad = [row for row in rows if not row["ok"]]
        note(f"error: {len(bad)} of {len(rows)} inputs could not be answered: {bad[0]['error']}")
        leave(3)


def show(source: Path, lines: list[str], error: Exception | None) -> None:
    """One input's answer for people."""
    print(source)
    for line in lines if error is None else [f"error: {error}"]:
        print(f"  {line}")
