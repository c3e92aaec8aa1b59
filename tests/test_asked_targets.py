"""Which targets `--targets` stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from handmade import known
from torchport.deployment.lower import names_of
from torchport.deployment.options import ALL
from torchport.deployment.request import Request
from torchport.errors import UsageError
from torchport.targets import targets
from torchport.testing import FakeTarget


class Slow(FakeTarget):
    """Made only where it is asked for."""

    name = "slow"
    automatic = False
    profiles = ("ios",)


def test_auto_leaves_out_what_is_slow_unless_the_profile_asks_for_it() -> None:
    with known(Slow()):
        for profile, taken in (("python", False), ("web", False), ("ios", True), ("any", True)):
            assert ("slow" in names_of(None, profile)) is taken
            assert "onnx" in names_of(None, profile)


def test_all_is_every_candidate_and_a_name_is_itself() -> None:
    with known(Slow()):
        assert names_of([ALL], "python") == [name for name in targets.names() if name != "eager"]
        assert names_of(["slow", "onnx"], "python") == ["slow", "onnx"]


def test_all_is_no_target_among_others(tmp_path: Path) -> None:
    Request("m:f", tmp_path / "a.tport", targets=[ALL])
    with pytest.raises(UsageError, match="no target 'all'"):
        Request("m:f", tmp_path / "a.tport", targets=["onnx", ALL])
