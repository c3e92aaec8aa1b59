"""Where a server listens, and by which certificates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tls:
    """Certificates, as files in PEM.

    Attributes:
        authority: whose clients' certificates are taken; None asks clients for none.
    """

    certificate: Path
    key: Path
    authority: Path | None = None


@dataclass(frozen=True)
class Place:
    """Where a server listens.

    Attributes:
        grpc_port: None is no gRPC.
        tls: None is plain text.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = 8001
    tls: Tls | None = None
