"""`torchport demo`: deploy a real image classifier and name what is in a photo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .shared import Json, typed, verb

Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the photos and the Bundle.")]


@verb
def run(output: Folder = Path("build/demo"), as_json: Json = False) -> None:
    """Deploy EfficientNet-Lite0 with its ImageNet weights to every target, then name what is in a photo."""
    from ..deployment.request import Request
    from ..jobs import demo
    from ..predict import Predictor
    from .deploy import build, finish

    data = demo.gather(output / "photos")
    request = Request(
        source="torchport.jobs.demo:efficientnet_lite0",
        output=output / "efficientnet-lite0.tport",
        task="image-classification",
        data=data,
        settings=demo.SETTINGS,
        keep="all",
    )
    outcome = build(request)
    finish(outcome, request, as_json=as_json)
    if as_json:
        return
    photo = sorted(data.glob(demo.PHOTOS))[0]
    with Predictor(request.output) as predictor:
        lines = predictor.pipeline.task.lines(predictor.predict(photo))
        print(f"\n{photo}, answered by {predictor.variant.id}:")
    for line in lines:
        print(f"  {line}")
    print(
        f"\nnext:   {typed('torchport', 'predict', request.output)} YOUR_PHOTO.jpg\n        "
        f"{typed('torchport', 'verify', request.output)}"
    )
