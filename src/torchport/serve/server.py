"""A server of Bundles: its sockets, and its end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server as Granian

from ..errors import OutputError, TorchportError
from .app import App
from .guard import Guard
from .http import Http
from .place import Place
from .repository import Repository
from .rsgi import Rsgi
from .settings import Settings

if TYPE_CHECKING:
    from .grpc_server import GrpcServer

DRAIN_S = 30.0
"""How long requests under way are waited for when the server ends."""

QUIET_S = 0.3
"""While it ends, a server refuses new requests until none has come for so long: who balances load has heard by then."""


def serve(
    paths: Sequence[Path],
    place: Place,
    settings: Settings,
    *,
    name: str | None = None,
    guard: Guard | None = None,
    on_ready: Callable[[App], None] | None = None,
) -> None:
    """Serve Bundles until SIGTERM or SIGINT; requests under way are answered before it returns.

    Args:
        paths: Bundles, or folders of them.
        name: what the only Bundle is called.
        guard: who may ask, and how much; None is anybody, anything.
        on_ready: is told when every model was loaded, or failed to be.

    Raises:
        UsageError: there is no Bundle, or a name that a model cannot have.
        OutputError: a port is taken.
    """
    app = App(Repository(paths, settings, name=name), settings)
    asyncio.run(_serve(app, place, guard or Guard(), on_ready))


def _http(rsgi: Rsgi, place: Place) -> Granian:
    tls = place.tls
    return Granian(
        rsgi,
        address=place.host,
        port=place.port,
        interface=Interfaces.RSGI,
        backpressure=4096,
        backlog=1024,
        log_enabled=False,
        http1_settings=HTTP1Settings(header_read_timeout=20_000),
        ssl_cert=tls.certificate if tls else None,
        ssl_key=tls.key if tls else None,
        ssl_ca=tls.authority if tls else None,
        ssl_client_verify=tls is not None and tls.authority is not None,
    )


async def _serve(app: App, place: Place, guard: Guard, on_ready: Callable[[App], None] | None) -> None:
    rsgi = Rsgi(Http(app), app.settings.most_bytes, guard)
    server = _http(rsgi, place)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    grpc = None
    if place.grpc_port is not None:
        from .grpc_server import GrpcServer

        grpc = GrpcServer(app, place, guard)
    serving = asyncio.create_task(server.serve())
    stopped = asyncio.create_task(stop.wait())
    loading = asyncio.create_task(asyncio.to_thread(_load, app, on_ready))
    await asyncio.wait({serving, stopped, loading}, return_when=asyncio.FIRST_COMPLETED)
    failed = loading.result() if loading.done() else None
    if failed is None:
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done() and not stop.is_set():
        error = serving.exception()
        raise OutputError(f"{place.host}:{place.port} cannot be served: {error}", "give another with --port") from error
    await _drain(app, rsgi, server, serving, grpc)
    await asyncio.to_thread(app.repository.close)
    if failed is not None:
        raise failed


def _load(app: App, on_ready: Callable[[App], None] | None) -> Exception | None:
    """Load every model; the first error where none could be."""
    failed = []
    for name in app.repository.entries:
        try:
            app.repository.load(name)
        except TorchportError as exc:
            failed.append(exc)  # it is told by the repository's index
    if not app.repository.faces and not app.draining:
        return failed[0] if failed else None
    if on_ready is not None:
        on_ready(app)
    return None


async def _drain(app: App, rsgi: Rsgi, server: Granian, serving: asyncio.Task[None], grpc: GrpcServer | None) -> None:
    """Take no more requests, and wait for those under way."""
    app.draining = True
    until = time.monotonic() + DRAIN_S
    if grpc is not None:
        await asyncio.to_thread(grpc.close, DRAIN_S)
    while (rsgi.under_way or time.monotonic() < rsgi.last + QUIET_S) and time.monotonic() < until:
        await asyncio.sleep(0.01)
    server.stop()  # type: ignore[no-untyped-call]
    try:
        await asyncio.wait_for(asyncio.shield(serving), 5)
    except TimeoutError:
        serving.cancel()
