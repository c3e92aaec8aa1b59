"""Capture: a model source becomes a Program (build half: the names below load torch when they are first used)."""

from __future__ import annotations

from typing import Any

_PUBLIC = {
    "GraphProgram": "program",
    "Program": "program",
    "Source": "source",
    "capture_graph": "ladder",
    "kind_of": "safe",
    "load_exported": "safe",
    "load_scripted": "safe",
    "open_source": "source",
}

__all__ = [
    "GraphProgram",
    "Program",
    "Source",
    "capture_graph",
    "kind_of",
    "load_exported",
    "load_scripted",
    "open_source",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'torchport.frontend' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
