"""Every check of a server, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import BadInput
from . import grpc_checks, http_checks, http_errors, http_extensions
from .http_client import Http
from .target import Target
from .verdicts import CHECKS, Check, CheckRow, ConformDocument, Differs, NotOffered, Verdict

if TYPE_CHECKING:
    from .grpc_client import Grpc

TIMEOUT_S = 30.0

ORDER = [module.__name__ for module in (http_checks, http_extensions, http_errors, grpc_checks)]
"""Modules of checks, which list theirs as they are imported, in the order in which they are made."""


def conform(
    url: str,
    *,
    grpc: str | None = None,
    model: str | None = None,
    reload: bool = False,
    timeout_s: float = TIMEOUT_S,
    tell: Callable[[str], None] = lambda text: None,
) -> ConformDocument:
    """Ask a server everything that the protocol's clients rely on. Nothing is changed but with `reload`.

    Args:
        url: of HTTP, such as http://localhost:8000.
        grpc: HOST:PORT of gRPC; None: its checks are not made.
        model: by which it is asked; the first ready one where none is named.
        reload: also unloads the model and loads it again.
        timeout_s: how long one answer may take.
        tell: hears the name of each check.

    Raises:
        UsageError: the URL is none.
        BadInput: nobody answers there, or there is no such model.
    """
    http = Http(url, timeout_s)
    try:
        http.open("GET", "v2/health/live", None)
    except Exception as exc:  # what is no HTTP fails in many ways
        raise BadInput(f"{http.url} does not answer: {exc}", "give the URL of a running server") from exc
    line, why = _grpc(grpc, timeout_s)
    target = Target(http, line, why, reload)
    try:
        target.prepare(model)
    except Differs as exc:
        target.refusals[0] = str(exc)
    try:
        rows = tuple(_row(one, target, tell) for one in sorted(CHECKS, key=lambda one: ORDER.index(one.run.__module__)))
    finally:
        if line is not None:
            line.close()
    told = target.server
    return ConformDocument(
        url=http.url,
        grpc=grpc,
        server=f"{told.get('name', '?')} {told.get('version', '?')}",
        model=target.model.name if target.model else None,
        verdicts=dict(Counter(row.verdict for row in rows)),
        checks=rows,
    )


def _grpc(address: str | None, timeout_s: float) -> tuple[Grpc | None, str]:
    """The service, or why it is not asked."""
    if address is None:
        return None, "no address of gRPC was given, see --grpc"
    if not (find_spec("grpc") and find_spec("google")):
        return None, "gRPC is not installed here: pip install 'torchport[serve]'"
    from .grpc_client import Grpc

    return Grpc(address, timeout_s), ""


def _row(one: Check, target: Target, tell: Callable[[str], None]) -> CheckRow:
    tell(one.name)
    verdict: Verdict
    try:
        if one.extension and one.extension not in target.extensions:
            raise NotOffered(f"the server's metadata does not list the extension {one.extension}")
        verdict, reason = "holds", one.run(target)
    except NotOffered as exc:
        verdict, reason = "not offered", str(exc)
    except Differs as exc:
        verdict, reason = "differs", str(exc)
    return CheckRow(
        name=one.name, area=one.area, about=one.about, source=one.source, verdict=verdict, reason=reason or None
    )
