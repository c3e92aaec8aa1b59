"""The Python API has the verbs' names, whatever was imported before."""

from __future__ import annotations

import importlib

import pytest

import torchport


@pytest.mark.parametrize("name", sorted(set(torchport.__all__) - {"__version__"}))
def test_public_names_are_callable_also_after_their_modules_were_imported(name: str) -> None:
    assert callable(getattr(torchport, name))
    for module in ("deploy", "export", "bench", "capture", "verify", "predict"):
        importlib.import_module(f"torchport.{module}")
    assert callable(getattr(torchport, name))
