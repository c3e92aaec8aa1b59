"""ExecuTorch where PyTorch is not installed: its libraries, reached by functions compiled at first use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from torchport.errors import MissingDependency
from torchport.system import machine
from torchport.targets import targets
from torchport.targets.shared import executorch_native as native
from torchport.testing.toys import TOYS
from torchport.types import Artifact

from .helpers import export

pytest.importorskip("executorch")
if shutil.which(machine.compiler()) is None:
    pytest.skip("there is no compiler of C++", allow_module_level=True)

ANSWER = """
import json, sys
from pathlib import Path
import msgspec
from safetensors.numpy import load_file, save_file
from torchport.targets import targets
from torchport.types import Artifact, Signature
place = Path(sys.argv[1])
artifact = msgspec.json.decode((place / "artifact.json").read_bytes(), type=Artifact)
signature = msgspec.json.decode((place / "signature.json").read_bytes(), type=Signature)
target = targets.get("executorch")
assert target.available().status == "ok", target.available().reason
with target.open(artifact, place, signature, threads=1) as runner:
    answers = [runner.run(load_file(place / "feed.safetensors")) for _ in range(2)]
    used = runner.used
assert all((answers[0][name] == answers[1][name]).all() for name in answers[0])
save_file(answers[0], place / "answer.safetensors")
assert "torch" not in sys.modules
print(used.provider, used.threads)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an artefact, its signature and a feed: floats in, floats, integers and booleans out."""
    folder, toy = tmp_path_factory.mktemp("executorch"), TOYS["dict_outputs"]
    made: Artifact = export("executorch", toy.program(), folder)
    (folder / "artifact.json").write_bytes(msgspec.json.encode(made))
    (folder / "signature.json").write_bytes(msgspec.json.encode(toy.signature))
    save_file(toy.feed(seed=3), folder / "feed.safetensors")
    return folder


def without_torch(place: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "without_torch"), **more}
    call = [sys.executable, "-c", ANSWER, str(place)]
    return subprocess.run(call, env=env, capture_output=True, text=True, check=False, timeout=300)


def test_an_environment_without_pytorch_answers_right(place: Path) -> None:
    done = without_torch(place)
    assert (done.returncode, done.stdout) == (0, "xnnpack 1\n"), done.stderr
    answer = load_file(place / "answer.safetensors")
    for name, right in TOYS["dict_outputs"].expected(load_file(place / "feed.safetensors")).items():
        assert answer[name].dtype == right.dtype
        np.testing.assert_allclose(answer[name], right, atol=1e-5)


def test_without_a_compiler_it_says_what_to_install(place: Path, tmp_path: Path) -> None:
    done = without_torch(place, CXX="no-such-compiler", TORCHPORT_CACHE=str(tmp_path))
    assert done.returncode and "no compiler is installed" in done.stderr and "install g++" in done.stderr


def test_a_compiler_that_fails_is_a_missing_dependency_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(native, "SOURCE", tmp_path / "wrong.cpp")
    native.SOURCE.write_text("int main() { return not_declared; }", "utf-8")
    with pytest.raises(MissingDependency, match="not_declared"):
        native._compile(tmp_path, tmp_path / "made.so")


def test_a_damaged_program_is_refused_in_words(place: Path, tmp_path: Path) -> None:
    content = (place / "model.pte").read_bytes()
    for name in ("artifact.json", "signature.json", "feed.safetensors"):
        (tmp_path / name).write_bytes((place / name).read_bytes())
    (tmp_path / "model.pte").write_bytes(content[:64] + bytes(len(content) - 64))
    done = without_torch(tmp_path)
    assert done.returncode == 1 and "RunError" in done.stderr, done.stderr


def test_phones_remain_where_it_can_win() -> None:
    """Whoever gets a Bundle may have no compiler."""
    assert targets.get("executorch").profiles == ("android", "ios")
