"""What a server needs beside the rest of torchport."""

from __future__ import annotations

from ..errors import MissingDependency

MODULES = ("granian", "simdjson", "prometheus_client")


def need() -> None:
    """Raises MissingDependency, with the line that installs it, where something is missing."""
    for module in MODULES:
        try:
            __import__(module)
        except ImportError as exc:
            raise MissingDependency(f"a server needs {module}", "pip install 'torchport[serve]'") from exc
