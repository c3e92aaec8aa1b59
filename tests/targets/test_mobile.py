"""What is particular to the mobile target; the rest is in the conformance suite."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch.jit.mobile import _load_for_lite_interpreter

from torchport.frontend.script import quiet_jit
from torchport.targets import targets
from torchport.testing.toys import TOYS

from .helpers import export


def test_the_lite_interpreter_runs_the_file(tmp_path: Path) -> None:
    toy = TOYS["conv"]
    export("mobile", toy.program(), tmp_path)
    with quiet_jit():
        module = _load_for_lite_interpreter(str(tmp_path / "model.ptl"))  # type: ignore[no-untyped-call]
    x = next(iter(toy.feed().values()))
    np.testing.assert_allclose(
        module(torch.tensor(x)).numpy(), next(iter(toy.expected(toy.feed()).values())), atol=1e-5
    )


def test_it_carries_bytecode_and_says_what_was_left_out(tmp_path: Path) -> None:
    artifact = export("mobile", TOYS["mlp"].program(), tmp_path)
    with zipfile.ZipFile(tmp_path / "model.ptl") as archive:
        assert any(name.endswith("bytecode.pkl") for name in archive.namelist())
    assert artifact.notes in ((), ("this build of PyTorch has no XNNPACK: saved without optimize_for_mobile",))


def test_it_is_for_phones_and_holds_code() -> None:
    assert targets.get("mobile").profiles == ("android", "ios")
    assert targets.get("mobile").executes_code
