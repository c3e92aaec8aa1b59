"""`torchport serve`: answer requests over HTTP and gRPC."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..types import MOST_THREADS
from .shared import Trust, note, verb

if TYPE_CHECKING:
    from ..serve.app import App
    from ..serve.place import Tls


def option(flag: str, about: str, **bounds: Any) -> Any:
    """An option that can also be given as an environment variable: `--max-body` is TORCHPORT_MAX_BODY."""
    variable = "TORCHPORT_" + flag.partition("/")[0].removeprefix("--").upper().replace("-", "_")
    return typer.Option(flag, envvar=variable, help=about, **bounds)


Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Bundles, or folders of them: NAME.tport, or NAME/1.tport.")
]
Host = Annotated[str, option("--host", "Address to listen at.")]
Port = Annotated[int, option("--port", "Port of HTTP.", min=0, max=65535)]
GrpcPort = Annotated[int, option("--grpc-port", "Port of gRPC; -1 is none.", max=65535)]
Name = Annotated[str | None, option("--name", "What the only Bundle is called.")]
Threads = Annotated[
    int | None, option("--threads", "Threads of a runtime; the measured best if not given.", min=1, max=MOST_THREADS)
]
Batch = Annotated[int, option("--batch", "Items of one call, at most.", min=1, max=1024)]
Instances = Annotated[int | None, option("--instances", "Threads that answer for one model.", min=1, max=256)]
Queue = Annotated[int, option("--queue", "Requests that may wait for one model.", min=1, max=100_000)]
Timeout = Annotated[float, option("--timeout", "Seconds that a request waits for its turn.", min=0.001)]
Body = Annotated[int, option("--max-body", "Greatest body in MiB.", min=1, max=2047)]
Loading = Annotated[bool, option("--loading/--no-loading", "Clients may load and unload models.")]
Shared = Annotated[bool, option("--shared-memory", "Clients may name this machine's shared memory.")]
Keys = Annotated[list[str] | None, option("--api-key", "A key that clients must send; repeatable.")]
Rate = Annotated[float | None, option("--client-rate", "Requests a second of one client.", min=0.01)]
Concurrent = Annotated[int | None, option("--client-requests", "Requests of one client at a time.", min=1)]
Certificate = Annotated[Path | None, option("--tls-cert", "Certificate in PEM: HTTPS, and gRPC with TLS.")]
Key = Annotated[Path | None, option("--tls-key", "The certificate's private key.")]
Authority = Annotated[Path | None, option("--tls-ca", "Whose clients' certificates are taken: mutual TLS.")]
Access = Annotated[bool, option("--access-log", "A line of JSON for each request, on standard error.")]
Device = Annotated[str, option("--device", "Where the runtime computes: cpu, cuda, ...")]


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
    api_key: Keys = None,
    client_rate: Rate = None,
    client_requests: Concurrent = None,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    tls_ca: Authority = None,
    access_log: Access = False,
    device: Device = "cpu",
    trust: Trust = False,
) -> None:
    """Serve Bundles: any client of the Open Inference Protocol, raw pictures, recordings and texts, and a page."""
    from ..serve.needs import need
    from ..serve.settings import Settings

    need()
    from ..serve.guard import Guard
    from ..serve.place import Place
    from ..serve.server import serve

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
    log(access=access_log)
    tls = certificates(tls_cert, tls_key, tls_ca)
    place = Place(host, port, grpc_port if grpc_port >= 0 else None, tls)
    guard = Guard(tuple(api_key or ()), rate=client_rate, concurrent=client_requests)

    address = f"{'https' if tls else 'http'}://{host}:{port}"
    serve(paths, place, settings, name=name, guard=guard, on_ready=lambda app: told(app, address))


def told(app: App, address: str) -> None:
    """What is served, and what is not, and where."""
    for row in app.repository.index():
        note(f"{row['name']}: {row['state'].lower()}{': ' + row['reason'] if row['reason'] else ''}")
    note(address)


def log(*, access: bool) -> None:
    """Warnings on standard error, and there a line for each request if asked for."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if access:
        lines, log = logging.StreamHandler(sys.stderr), logging.getLogger("torchport.access")
        lines.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(lines)
        log.setLevel(logging.INFO)
        log.propagate = False


def certificates(certificate: Path | None, key: Path | None, authority: Path | None) -> Tls | None:
    """The files of TLS, where they were given.

    Raises:
        UsageError: one is missing, or does not exist.
    """
    from ..errors import UsageError
    from ..serve.place import Tls

    if certificate is None and key is None and authority is None:
        return None
    if certificate is None or key is None:
        raise UsageError("a certificate and its key go together", "give --tls-cert and --tls-key")
    for path in filter(None, (certificate, key, authority)):
        if not path.is_file():
            raise UsageError(f"{path} does not exist", "give a file in PEM")
    return Tls(certificate, key, authority)
