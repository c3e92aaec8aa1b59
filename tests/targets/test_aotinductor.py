"""What is particular to AOTInductor. One toy is compiled here, as each takes 10 s of the processor; the conformance
suite tries the others in `make long`.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from torchport.errors import RunError
from torchport.system import machine
from torchport.targets import targets
from torchport.targets.base import ExportOptions
from torchport.testing import Case, required, target_checks
from torchport.testing.toys import TOYS
from torchport.types import BuiltFor

AGAIN = ("check_declined", "check_deterministic", "check_offline")
"""Checks that compile once more, or import the compiler in a process of their own."""

AVX2 = ("avx2", "fma", "f16c")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    target = targets.get("aotinductor")
    if reason := target.available(build=True).reason:
        (pytest.fail if required("aotinductor") else pytest.skip)(reason)
    return Case(target, TOYS["dict_outputs"], tmp_path_factory.mktemp("aotinductor"))


@pytest.mark.parametrize(
    "check", [one for one in target_checks() if one.__name__ not in AGAIN], ids=lambda check: check.__name__
)
def test_it_conforms(case: Case, check: Callable[[Case], None]) -> None:
    check(case)


@pytest.fixture
def sets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes this machine one with other instruction sets."""
    here = machine.describe()

    def made(*names: str) -> None:
        changed = msgspec.structs.replace(here, architecture="x86_64", instruction_sets=names)
        monkeypatch.setattr(machine, "describe", lambda: changed)

    return made


def test_a_package_is_built_for_a_level_and_the_portable_one_for_the_narrowest(sets: Callable[..., None]) -> None:
    wide = tuple(f"avx512{kind}" for kind in ("f", "bw", "cd", "dq", "vl"))
    sets(*AVX2, *wide, "avx512_vnni", "amx_tile")
    system = machine.system()
    options = ExportOptions()
    assert targets.get("aotinductor").built_for(options) == BuiltFor((system,), ("x86_64",), (*AVX2, *wide))
    assert targets.get("aotinductor_portable").built_for(options) == BuiltFor((system,), ("x86_64",), AVX2)
    sets(*AVX2, "avx_vnni")
    assert targets.get("aotinductor").built_for(options) == BuiltFor((system,), ("x86_64",), AVX2)


def test_a_cpu_with_more_opens_it_and_one_with_less_is_told_before_the_file_is_read(
    case: Case, sets: Callable[..., None], tmp_path: Path
) -> None:
    made = msgspec.structs.replace(case.artifact, built_for=BuiltFor(instruction_sets=AVX2))
    sets(*AVX2, "one_of_tomorrow")
    case.target.open(made, case.folder, case.toy.signature).close()
    sets("avx2")
    with pytest.raises(RunError, match="built for a CPU with f16c, fma, which this one lacks"):
        case.target.open(made, tmp_path / "not there", case.toy.signature)


def test_without_a_compiler_it_says_which_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    target = targets.get("aotinductor")
    assert (target.available().status, target.available(build=True).status) == ("ok", "absent")
    assert target.available(build=True).reason == "no-such-compiler is not installed, which compiles the code"


def test_on_a_cpu_of_another_kind_it_says_which_ones_it_knows(sets: Callable[..., None]) -> None:
    sets("sse")
    assert "x86_64" in (targets.get("aotinductor").available(build=True).reason or "")


def test_a_package_holds_the_library_alone_and_plain_torch_opens_it(case: Case) -> None:
    assert case.artifact.graphs
    with zipfile.ZipFile(case.folder / "model.pt2") as archive:
        assert [name for name in archive.namelist() if name.endswith((".cpp", ".so"))] == [
            "model/data/aotinductor/model/model.wrapper.so"
        ]
    code = (
        "import sys, torch\n"
        "model = torch._inductor.aoti_load_package(sys.argv[1])\n"
        "print([tuple(one.shape) for one in model(torch.zeros(5, 6)).values()])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(case.folder / "model.pt2")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[(5, 4), (5,), (5,)]\n"


def test_a_package_with_more_in_it_is_refused(case: Case, tmp_path: Path) -> None:
    """The loader would unpack it, wherever its name says."""
    assert case.artifact.graphs
    (tmp_path / "model.pt2").write_bytes((case.folder / "model.pt2").read_bytes())
    with zipfile.ZipFile(tmp_path / "model.pt2", "a") as archive:
        archive.writestr("model/../../data/aotinductor/model/more.so", b"")
    with pytest.raises(RunError, match="more than a package of AOTInductor"):
        case.target.open(case.artifact, tmp_path, case.toy.signature)


def test_a_stranger_s_package_is_opened_only_when_trusted() -> None:
    for name in ("aotinductor", "aotinductor_portable"):
        assert targets.get(name).executes_code
        assert targets.get(name).profiles == ()  # PyTorch is needed where it runs: it wins only where that is said
