"""The Python API has the verbs' names, whatever was imported before."""

from __future__ import annotations

import importlib
import json

import pytest

import torchport


@pytest.mark.parametrize("name", sorted(set(torchport.__all__) - {"__version__"}))
def test_public_names_are_callable_also_after_their_modules_were_imported(name: str) -> None:
    assert callable(getattr(torchport, name))
    for module in ("deploy", "diff", "export", "bench", "capture", "verify", "predict"):
        importlib.import_module(f"torchport.{module}")
    assert callable(getattr(torchport, name))


def test_paths_may_be_text_and_what_is_recorded_names_files_only(tmp_path) -> None:
    from torchport.api import _request
    from torchport.pack import settings

    (tmp_path / "items").mkdir()
    for name in ("data", "calibration", "test", "golden"):
        assert getattr(_request("net.pt2", "net.tport", **{name: str(tmp_path / "items")}), name) == tmp_path / "items"
    asked = _request("net.pt2", tmp_path / "net.tport", golden="none", settings={"symbols": tmp_path / "voice.json", "vocabulary": str(tmp_path / "words.txt"), "top": 3})
    recorded = settings(asked)
    assert recorded["golden"] == 0
    assert recorded["settings"] == {"symbols": "voice.json", "vocabulary": "words.txt", "top": 3}
    assert str(tmp_path) not in json.dumps(recorded)
