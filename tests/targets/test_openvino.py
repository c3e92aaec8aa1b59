"""What is particular to the openvino target; the rest is in the conformance suite."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from torchport.errors import RunError, UnsupportedByTarget
from torchport.targets import targets
from torchport.testing.toys import TOYS

from .helpers import export, open_it, program_of

if targets.get("openvino").available().status == "absent":
    pytest.skip("openvino is not installed", allow_module_level=True)


def test_fp16_halves_the_weights_and_computes_in_fp32(tmp_path: Path) -> None:
    module, x = nn.Linear(256, 64), torch.randn(2, 256)
    program = program_of(module, x)
    sizes = {}
    for precision in ("fp32", "fp16"):
        artifact = export("openvino", program, tmp_path / precision, precision)
        sizes[precision] = (tmp_path / precision / "model.bin").stat().st_size
        with open_it("openvino", program, tmp_path / precision, artifact) as runner:
            got, wanted = runner.run({"x": x.numpy()})["output_0"], module(x).numpy()
            assert runner.used.precision == "fp32"
            assert np.abs(got - wanted).max() / np.abs(wanted).max() <= targets.get("openvino").tolerance(precision)
    assert sizes["fp16"] <= 0.51 * sizes["fp32"]


def test_an_input_may_be_an_output(tmp_path: Path) -> None:
    class Through(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"sum": x + y, "x_again": x}

    program = program_of(Through(), torch.randn(2, 3), torch.randn(2, 3), names=("x", "y"))
    artifact = export("openvino", program, tmp_path)
    feed = program.graphs["model"].examples
    with open_it("openvino", program, tmp_path, artifact) as runner:
        got = runner.run(feed)
    np.testing.assert_allclose(got["sum"], feed["x"] + feed["y"], atol=1e-6)
    np.testing.assert_array_equal(got["x_again"], feed["x"])


@pytest.mark.parametrize("damage", ["nothing", "half", "noise", "empty"])
def test_the_compiled_model_is_cached_and_never_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setenv("TORCHPORT_CACHE", str(tmp_path / "cache"))
    program = program_of(nn.Linear(16, 8), x := torch.randn(2, 16))
    artifact = export("openvino", program, tmp_path / "model")
    with open_it("openvino", program, tmp_path / "model", artifact) as runner:
        first = runner.run({"x": x.numpy()})["output_0"]
    (kept,) = (tmp_path / "cache" / "openvino").iterdir()
    good = kept.read_bytes()
    kept.write_bytes(
        {"nothing": good, "half": good[: len(good) // 2], "noise": bytes(range(256)) * 40, "empty": b""}[damage]
    )
    with open_it("openvino", program, tmp_path / "model", artifact) as runner:
        np.testing.assert_array_equal(runner.run({"x": x.numpy()})["output_0"], first)
    (again,) = kept.parent.iterdir()
    assert (
        again.name.partition("-")[0] == kept.name.partition("-")[0]
        and again.stem.partition("-")[2] == hashlib.sha256(again.read_bytes()).hexdigest()
    )
    assert again.stat().st_size > 0.9 * len(good)  # it tells when it was made, in more letters or fewer
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.bin", "model.xml"]


def test_an_operator_without_counterpart_is_named(tmp_path: Path) -> None:
    class Bessel(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(UnsupportedByTarget, match="bessel_j0"):
        export("openvino", program_of(Bessel(), torch.randn(2, 3)), tmp_path)


QUIET_CODE = """
import pathlib, socket, sys, warnings
warnings.simplefilter("ignore")
def refuse(*_): print("tried to connect", flush=True)
socket.socket.connect = refuse
from torchport.targets import targets
from torchport.targets.base import ExportOptions
from torchport.testing.toys import TOYS
folder, toy, target = pathlib.Path(sys.argv[1]), TOYS["mlp"], targets.get("openvino")
assert target.available(build=True).status == "ok"
artifact = target.export(toy.program(), folder, ExportOptions())
target.open(artifact, folder, toy.signature).run(toy.feed())
assert not sys.modules.get("openvino_telemetry")
import logging
assert not logging.getLogger().handlers
"""


def test_a_process_that_converts_and_runs_reports_to_nobody(tmp_path: Path) -> None:
    home, made = tmp_path / "home", tmp_path / "made"
    home.mkdir()
    made.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", QUIET_CODE, str(made)],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.iterdir()) == []


def test_the_ir_says_nothing_of_how_it_was_converted(tmp_path: Path) -> None:
    export("openvino", TOYS["mlp"].program(), tmp_path)
    xml = (tmp_path / "model.xml").read_text(encoding="utf-8")
    assert "conversion_parameters" not in xml
    assert '<net name="model"' in xml
    assert 'names="input"' in xml
    assert 'output_names="output_0"' in xml


def test_calls_from_several_threads_do_not_mix(tmp_path: Path) -> None:
    toy = TOYS["mlp"]
    artifact = export("openvino", toy.program(), tmp_path)
    cases = [(toy.feed(seed=seed), toy.expected(toy.feed(seed=seed))["output_0"]) for seed in range(4)]
    wrong: list[int] = []
    with open_it("openvino", toy.program(), tmp_path, artifact, threads=1) as runner:

        def ask(seed: int) -> None:
            feed, right = cases[seed]
            for _ in range(200):
                if not np.allclose(runner.run(feed)["output_0"], right, atol=1e-5):
                    wrong.append(seed)

        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_no_device_but_the_one_asked_for(tmp_path: Path) -> None:
    toy = TOYS["mlp"]
    artifact = export("openvino", toy.program(), tmp_path)
    with pytest.raises(RunError, match="no device NPU9"):
        open_it("openvino", toy.program(), tmp_path, artifact, provider="npu9")
    with open_it("openvino", toy.program(), tmp_path, artifact, threads=2) as runner:
        assert (runner.used.provider, runner.used.threads) == ("CPU", 2)
