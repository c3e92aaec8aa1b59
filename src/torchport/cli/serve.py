"""`torchport serve`: answer requests over HTTP and gRPC."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..types import MOST_THREADS
from .shared import Trust, note, verb

if TYPE_CHECKING:
    from ..serve.app import App

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Bundles, or folders of them: NAME.tport, or NAME/1.tport.")
]
Host = Annotated[str, typer.Option(envvar="TORCHPORT_HOST", help="Address to listen at.")]
Port = Annotated[int, typer.Option(min=0, max=65535, envvar="TORCHPORT_PORT", help="Port of HTTP.")]
GrpcPort = Annotated[int, typer.Option(max=65535, envvar="TORCHPORT_GRPC_PORT", help="Port of gRPC; -1 is none.")]
Name = Annotated[str | None, typer.Option(envvar="TORCHPORT_NAME", help="What the only Bundle is called.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_THREADS, envvar="TORCHPORT_THREADS", help="Threads of a runtime; the measured best."),
]
Batch = Annotated[int, typer.Option(min=1, max=1024, envvar="TORCHPORT_BATCH", help="Items of one call, at most.")]
Instances = Annotated[
    int | None, typer.Option(min=1, max=256, envvar="TORCHPORT_INSTANCES", help="Threads that answer for one model.")
]
Queue = Annotated[
    int, typer.Option(min=1, max=100_000, envvar="TORCHPORT_QUEUE", help="Requests that may wait for one model.")
]
Timeout = Annotated[
    float, typer.Option(min=0.001, envvar="TORCHPORT_TIMEOUT", help="Seconds that a request waits for its turn.")
]
Body = Annotated[
    int, typer.Option("--max-body", min=1, max=2047, envvar="TORCHPORT_MAX_BODY", help="Greatest body in MiB.")
]
Loading = Annotated[
    bool, typer.Option("--loading/--no-loading", envvar="TORCHPORT_LOADING", help="Clients may load and unload models.")
]
Shared = Annotated[
    bool,
    typer.Option("--shared-memory", envvar="TORCHPORT_SHARED_MEMORY", help="Clients may name this machine's memory."),
]
Device = Annotated[str, typer.Option(envvar="TORCHPORT_DEVICE", help="Where the runtime computes: cpu, cuda, ...")]


@verb
def run(
    paths: Paths,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    grpc_port: GrpcPort = 8001,
    name: Name = None,
    threads: Threads = None,
    batch: Batch = 8,
    instances: Instances = None,
    queue: Queue = 256,
    timeout: Timeout = 30.0,
    max_body: Body = 64,
    loading: Loading = True,
    shared_memory: Shared = False,
    device: Device = "cpu",
    trust: Trust = False,
) -> None:
    """Serve Bundles: any client of the Open Inference Protocol, raw pictures, recordings and texts, and a page."""
    from ..serve.needs import need
    from ..serve.settings import Settings

    need()
    from ..serve.server import Place, serve

    settings = Settings(
        batch=batch,
        instances=instances or Settings.default_instances(),
        queue=queue,
        timeout_s=timeout,
        threads=threads,
        most_bytes=max_body << 20,
        loading=loading,
        shared_memory=shared_memory,
        device=device,
        trust=trust,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    place = Place(host, port, grpc_port if grpc_port >= 0 else None)

    def told(app: App) -> None:
        for row in app.repository.index():
            note(f"{row['name']}: {row['state'].lower()}{': ' + row['reason'] if row['reason'] else ''}")
        note(f"http://{host}:{port}")

    serve(paths, place, settings, name=name, on_ready=told)
