"""`torchport conform`: does a server speak the Open Inference Protocol?"""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import ParityError
from ..figures import count
from .shared import Json, Progress, document, verb

Url = Annotated[str, typer.Argument(metavar="URL", help="Of a running server, such as http://localhost:8000.")]
GrpcAddress = Annotated[
    str | None, typer.Option("--grpc", metavar="HOST:PORT", help="Where it serves gRPC, such as localhost:8001.")
]
Model = Annotated[str | None, typer.Option(help="The model to ask by; the first that is ready where it is left out.")]
Reload = Annotated[bool, typer.Option("--reload", help="Also unload the model and load it again.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds that one answer may take.")]


@verb
def run(
    url: Url,
    grpc: GrpcAddress = None,
    model: Model = None,
    reload: Reload = False,
    timeout: Timeout = 30.0,
    as_json: Json = False,
) -> None:
    """Ask any server of the Open Inference Protocol what its clients rely on: every method, datatype and trap. Exit
    code 5 where something differs.
    """
    from ..conform import conform
    from . import tables

    with Progress() as progress:
        found = conform(
            url,
            grpc=grpc,
            model=model,
            reload=reload,
            timeout_s=timeout,
            tell=lambda name: progress.tell("check", name),
        )
    if as_json:
        document(found)
    else:
        tables.checks(found)
    differing = [row.name for row in found.checks if row.verdict == "differs"]
    if differing:
        raise ParityError(
            f"{found.url} differs in {count(len(differing), 'check')}: {', '.join(differing)}",
            "see the reason of each" if as_json else "",
        )
