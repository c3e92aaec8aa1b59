"""`--weights` and `--drop` on the command line: what was taken is said on standard error, and a Bundle says how to make
it again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest
import torch
from command import within

ROWS = ("--task", "tensor", "--data", "x.safetensors", "--targets", "onnx")


@pytest.fixture
def folder(place: Path, tmp_path: Path) -> Path:
    """A folder of one's own with `net.py`, `x.safetensors` and a checkpoint of two sets of weights and objects."""
    for name in ("net.py", "x.safetensors"):
        shutil.copyfile(place / name, tmp_path / name)
    state = {
        "fc1.weight": torch.ones(5, 10),
        "fc1.bias": torch.ones(5),
        "fc2.weight": torch.ones(2, 5),
        "fc2.bias": torch.ones(2),
        "aux.weight": torch.ones(3),
    }
    half = {f"module.{name}": tensor.half() * 2 for name, tensor in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": half, "args": argparse.Namespace(lr=1)}, tmp_path / "best.pth")
    return tmp_path


def test_what_was_taken_is_said_and_repeated(folder: Path) -> None:
    ran = within(
        "deploy",
        "net.py:Net",
        "--weights",
        "best.pth#state_dict_ema",
        "--drop",
        "aux.",
        *ROWS,
        "-o",
        "a.tport",
        cwd=folder,
    )
    assert ran.code == 0, ran.err
    notes = [line for line in ran.err.splitlines() if line.startswith("note: best.pth")]
    assert notes == [
        "note: best.pth: entry 'state_dict_ema', prefix 'module.' taken off (4 tensors)",
        "note: best.pth: objects beside the tensors are left out, never run (argparse.Namespace)",
        "note: best.pth: 4 tensors of float16 run as float32",
    ]
    manifest = json.loads((folder / "a.tport/torchport.json").read_text())
    assert manifest["provenance"]["notes"] == [note.removeprefix("note: ") for note in notes]
    assert manifest["provenance"]["weights_entry"] == "state_dict_ema" and manifest["settings"]["drop"] == ["aux."]
    report = (folder / "a.tport/report.html").read_text()
    assert (
        "--weights &#x27;best.pth#state_dict_ema&#x27; " in report
        and "--drop aux. " in report
        and "run as float32" in report
    )


def test_a_file_that_needs_a_flag_names_it(folder: Path) -> None:
    (folder / "torchport.toml").write_text('[deploy]\nsource = "net.py:Net"\nweights = "best.pth#state_dict"\n')
    ran = within("deploy", *ROWS, "-o", "a.tport", cwd=folder)
    assert (
        ran.code == 3
        and "error: best.pth does not fit Net: 1 unexpected (aux.weight); leave out what the model has no place for: "
        "--drop aux."
        in ran.err
    )
    (folder / "torchport.toml").write_text(
        '[deploy]\nsource = "net.py:Net"\nweights = "best.pth#other"\ndrop = ["aux."]\n'
    )
    ran = within("deploy", *ROWS, "-o", "a.tport", cwd=folder)
    assert (
        ran.code == 3
        and "error: best.pth has no entry 'other'; it has 'state_dict' (5 tensors), 'state_dict_ema' (5 tensors)"
        in ran.err
    )


def test_weights_given_as_the_model_are_described(folder: Path) -> None:
    ran = within("deploy", "best.pth", *ROWS, "-o", "a.tport", cwd=folder)
    lines = ran.err[ran.err.index("error: ") :].splitlines()
    assert ran.code == 3 and lines[0].endswith(
        "name the Python that builds the model: torchport deploy file.py:Name --weights 'best.pth#state_dict_ema'"
    )
    assert lines[1] == "    state_dict: 5 tensors, 70 numbers of float32: fc1.weight, fc1.bias, fc2.weight, ..."
    assert ran.out["error"]["hint"].splitlines()[1] == lines[1].strip()


def test_a_pickled_model_is_answered_with_lines_to_paste(folder: Path) -> None:
    torch.save(torch.nn.Linear(10, 2), folder / "whole.pt")
    ran = within("deploy", "net.py:Net", "--weights", "whole.pt", *ROWS, "-o", "a.tport", cwd=folder)
    lines = ran.err[ran.err.index("error: ") :].splitlines()
    assert (
        ran.code == 3
        and "refused, never executed" in lines[0]
        and [line[:9] for line in lines[1:4]] == ["    impor", "    model", "    torch"]
    )
