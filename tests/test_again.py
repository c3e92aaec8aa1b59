"""The command that a report ends with makes the same Bundle again: every field of a Request is a flag, and comes back
as it was.
"""

from __future__ import annotations

import inspect
import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import torchport
from torchport.cli import app, deploy, main
from torchport.deployment.again import command
from torchport.deployment.options import OPTIONS
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


def test_every_field_is_an_option_of_the_table() -> None:
    assert sorted(option.field for option in OPTIONS) == sorted({one.name for one in fields(Request)} - {"log"})


def test_every_option_of_a_verb_is_in_the_table() -> None:
    from typer.main import get_command

    expected = {"deploy": OPTIONS, "optimize": OPTIONS, "export": [option for option in OPTIONS if option.export]}
    for name, options in expected.items():
        taken = get_command(app(name)).commands[name].params  # type: ignore[attr-defined]
        told = {one.name: one.help for one in taken if one.name not in ("as_json", "verbose")}
        assert told == {option.field: option.help for option in options}, name
        flags = {one.name: one.opts[0] for one in taken if one.name in told and one.name != "source"}
        assert flags == {option.field: option.flag for option in options if option.name != "source"}, name


def test_every_option_is_a_parameter_in_python() -> None:
    ours = ("source", "output", "log", "progress")
    for function, options in ((torchport.deploy, OPTIONS), (torchport.export, [one for one in OPTIONS if one.export])):
        names = set(inspect.signature(function).parameters) - set(ours)
        assert names == {option.field for option in options} - set(ours), function.__name__


def test_what_is_typed_again_asks_for_the_same(everything: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(deploy, "build", lambda request: asked.append(request) or SimpleNamespace(interrupted=False))
    monkeypatch.setattr(deploy, "finish", lambda *_, **__: None)
    unlike = [
        one.name
        for one in fields(Request)
        if one.name not in ("source", "output", "log")
        and getattr(everything, one.name) == getattr(Request("x", Path("y")), one.name)
    ]
    assert unlike == [], "a new field: give it a value here that is not its default"
    monkeypatch.setattr(sys, "argv", shlex.split(command(everything)))
    with pytest.raises(SystemExit) as left:
        main(ends=False)
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
    assert tmp_path.name not in said and "other" not in said and "--weights w.pt " in said and "--data photos " in said


def test_text_in_python_is_read_as_on_the_command_line(everything: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchport import api

    texts = {"targets": "onnx,openvino", "recipes": "auto", "time_s": "20m", "golden": "none", "drop": "aux."}
    with api._asked("net.py:Net", "net.tport", **texts, weights="w.pt", log="log.txt") as request:
        assert (request.targets, request.recipes) == (["onnx", "openvino"], ["auto"])
        assert (request.time_s, request.golden, request.drop) == (1200.0, 0, ("aux.",))
        assert (request.weights, request.log) == (Path("w.pt"), Path("log.txt"))
