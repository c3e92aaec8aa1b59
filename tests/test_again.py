"""The command that a report ends with makes the same Bundle again: every field of a Request is a flag, and comes back
as it was.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from torchport.cli import app, deploy, main
from torchport.deployment.again import ARGUMENTS, command, flag_of
from torchport.deployment.request import Request


@pytest.fixture
def everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A Request with every field unlike its default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TORCHPORT_QUICK")
    for name in ("my photos", "more", "held back", "kept"):
        (tmp_path / name).mkdir()
    return Request(
        source="net.py:Net",
        output=Path("net 1.tport"),
        task="image-classification",
        weights=Path("best.pth#ema"),
        drop=("aux.", "head.*"),
        arguments={"classes": "3", "name": "a b"},
        data=Path("my photos"),
        inputs=("x:float32[batch,3,224,224]", "y:int64[batch]"),
        settings={"mean": [0.5, 0.25, 0.125], "labels": "labels.txt", "antialias": False, "reducing_gap": None},
        targets=["onnx", "openvino"],
        recipes=["fp32", "int4_weights@64"],
        budget="accuracy>=99%,latency<=10ms",
        calibration=Path("more"),
        test=Path("held back"),
        seed=7,
        time_s=1200.0,
        prefer="size",
        profile="server",
        keep="all",
        golden=Path("kept"),
        limit_s=33.5,
        quick=True,
        require_shown=True,
    )


def test_every_field_is_a_flag_of_deploy() -> None:
    from typer.main import get_command

    known = {name for option in get_command(app("deploy")).commands["deploy"].params for name in option.opts}  # type: ignore[attr-defined]
    assert [one.name for one in fields(Request) if one.name not in ARGUMENTS and flag_of(one.name) not in known] == []


def test_what_is_typed_again_asks_for_the_same(everything: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(deploy, "build", lambda request: asked.append(request) or SimpleNamespace(interrupted=False))
    monkeypatch.setattr(deploy, "finish", lambda *_, **__: None)
    unlike = [
        one.name
        for one in fields(Request)
        if one.name not in ARGUMENTS and getattr(everything, one.name) == getattr(Request("x", Path("y")), one.name)
    ]
    assert unlike == [], "a new field: give it a value here that is not its default"
    monkeypatch.setattr(sys, "argv", shlex.split(command(everything)))
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    settings = {"mean": "0.5,0.25,0.125", "labels": "labels.txt", "antialias": "false", "reducing_gap": "none"}
    assert asked == [replace(everything, settings=settings)]


def test_what_nobody_asked_for_is_not_said(tmp_path: Path) -> None:
    assert command(Request("net.py:Net", Path("net.tport"), quick=False)) == "torchport deploy net.py:Net -o net.tport"
    assert (
        command(Request("net.py:Net", Path("a.tport"), quick=False, golden=0, recipes=["auto"]))
        == "torchport deploy net.py:Net --recipes auto --golden none -o a.tport"
    )


def test_nothing_tells_of_its_makers_folders(tmp_path: Path) -> None:
    said = command(
        Request(
            str(tmp_path / "net.py:Net"),
            tmp_path / "net.tport",
            weights=tmp_path / "w.pt",
            data=Path("../other/photos"),
            settings={"labels": tmp_path / "l.txt"},
        )
    )
    assert tmp_path.name not in said and "other" not in said and "--weights w.pt --data photos" in said
