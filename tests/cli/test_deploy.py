"""`torchport deploy` and what follows it, as typed, with the exit codes and fields that scripts rely on."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import Ran, torchport
from safetensors.numpy import load_file

from torchport.bundle import manifest

TENSOR = ("--task", "tensor", "--data", "x.safetensors", "--targets", "onnx")


def left(place: Path, bundle: str) -> list[str]:
    """What a run for that Bundle left beside it: debris."""
    return sorted(p.name for p in place.glob(f".{bundle}.*"))


def test_the_document_has_every_field(deployed: Ran) -> None:
    assert deployed.code == 0, deployed.err
    out = deployed.out
    assert {"bundle", "chosen", "chosen_for", "met", "reference", "candidates"} <= set(out)
    assert {"latency_ms", "accuracy", "test_accuracy", "size_bytes", "measured"} == set(out["reference"])
    rows = {row["id"]: row for row in out["candidates"]}
    assert {"onnx-fp32", "openvino-fp32", "openvino-fp16", "torchscript-fp32"} <= set(rows)
    row = rows["onnx-fp32"]
    fields = (
        "id target recipe precision threads by_threads profiles size_bytes download_bytes memory_bytes latency_ms "
        "accuracy agreement parity status reason"
    )
    assert set(fields.split()) <= set(row)
    assert row["parity"]["ok"] and row["parity"]["max_rel"] <= 1e-4
    assert row["accuracy"]["items"] == 8 and out["met"] == "not shown"
    assert rows[out["chosen"]]["status"] == "chosen" and "python" in rows[out["chosen"]]["profiles"]


def test_predict_answers_like_the_model(deployed: Ran, place: Path) -> None:
    sys.path.insert(0, str(place))
    try:
        import torch
        from net import Net  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(place))
    x = load_file(place / "x.safetensors")["x"]
    with torch.inference_mode():
        reference = Net().eval()(torch.from_numpy(x)).numpy()
    for variant in ("onnx-fp32", "openvino-fp32", "torchscript-fp32"):
        ran = torchport(
            "predict",
            "net.tport",
            "x.safetensors",
            "--variant",
            variant,
            "--save-outputs",
            "out.safetensors",
            cwd=place,
        )
        assert ran.code == 0, ran.err
        assert np.abs(load_file(place / "out.safetensors")["0/output_0"] - reference).max() < 1e-5
        assert ran.out["variant"] == variant and ran.out["results"][0]["ok"]


def test_verify_bench_inspect_and_pack_follow(deployed: Ran, place: Path) -> None:
    verdict = torchport("verify", "net.tport", cwd=place)
    assert verdict.code == 0 and verdict.out["ok"] and {row["status"] for row in verdict.out["variants"]} == {"ok"}
    bench = torchport("bench", "net.tport", cwd=place, timed=True)
    assert (
        bench.code == 0
        and bench.out["chosen"] == deployed.out["chosen"]
        and bench.out["reference"]["measured"] == "now"
    )
    assert torchport("inspect", "net.tport", cwd=place).out["schema"] == manifest.SCHEMA
    packed = torchport("pack", "net.tport", "--for", "web", "--golden", "1", "--zip", "-o", "web.tport", cwd=place)
    assert packed.code == 0 and packed.out["variants"] == ["onnx-fp32"]
    assert torchport("predict", "web.tport", "x.safetensors", cwd=place).code == 0


def test_the_manifest_tells_nothing_of_its_maker(deployed: Ran, place: Path) -> None:
    for path in (place / "net.tport").rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            content = path.read_bytes()
            assert str(place).encode() not in content, path
            assert str(Path(sys.prefix)).encode() not in content, path


def test_weights_and_arguments(place: Path) -> None:
    sys.path.insert(0, str(place))
    try:
        import torch
        from net import Net
    finally:
        sys.path.remove(str(place))
    torch.save(Net(classes=3).state_dict(), place / "three.pt")
    ran = torchport(
        "deploy", "net.py:Net", "--arg", "classes=3", "--weights", "three.pt", *TENSOR, "-o", "three.tport", cwd=place
    )
    assert ran.code == 0, ran.err
    wrong = torchport("deploy", "net.py:Net", "--weights", "three.pt", *TENSOR, "-o", "wrong.tport", cwd=place)
    assert wrong.code == 3 and "fc2" in wrong.err and not (place / "wrong.tport").exists()


def test_a_toml_file_repeats_the_build(place: Path, tmp_path: Path) -> None:
    for name in ("net.py", "x.safetensors"):
        (tmp_path / name).write_bytes((place / name).read_bytes())
    (tmp_path / "torchport.toml").write_text(
        '[deploy]\nsource = "net.py:Net"\ndata = "x.safetensors"\ntargets = ["onnx"]\noutput = '
        '"t.tport"\n[task]\nname = "tensor"\n'
    )
    ran = torchport("deploy", cwd=tmp_path)
    assert ran.code == 0 and ran.out["chosen"] == "onnx-fp32", ran.err


def test_a_budget_nothing_meets(place: Path) -> None:
    ran = torchport("deploy", "net.py:Net", *TENSOR, "--budget", "latency<=0.000001ms", "-o", "b.tport", cwd=place)
    assert ran.code == 4 and ran.out["met"] == "no" and ran.out["bundle"] is None
    assert not (place / "b.tport").exists() and (place / "b.tport.report.html").is_file()
    assert "0.001 us allowed" in ran.err and left(place, "b.tport") == []


HELD = """
import sys, time
from torchport.cli import main
from torchport.testing import millisecond
from torchport.deployment.prove import Prover

where, calls = sys.argv.pop(1), []

def hold(stage):
    if stage == where:
        calls.append(stage)
        if len(calls) == (1 if stage == "measure" else 2):
            print("held", file=sys.stderr, flush=True)
            time.sleep(60)

def timed(jobs, **how):
    hold("measure")
    return millisecond(jobs)

def proven(self, *args, prove=Prover.prove):
    hold("prove")
    return prove(self, *args)

Prover.prove = proven
main(timer=timed)
"""
"""The command line, held until it is interrupted: where the first timing begins, or as the second row is proven."""


def interrupted(place: Path, where: str, sign: signal.Signals) -> tuple[int, str]:
    """The exit code, and what was said, of a deploy that a signal meets at that point."""
    words = (
        "deploy",
        "net.py:Net",
        "--task",
        "tensor",
        "--data",
        "x.safetensors",
        "--targets",
        "openvino,onnx",
        "-o",
        "net.tport",
    )
    with subprocess.Popen(
        [sys.executable, "-c", HELD, where, *words],
        cwd=place,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stderr is not None
        next(line for line in child.stderr if "held" in line)
        child.send_signal(sign)
        said = child.stderr.read()
        return child.wait(60), said


class Evil:
    """A pickle that would run a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["net.py:nothing", *TENSOR], 3, "nothing"),
        (["absent.py:Net", *TENSOR], 3, "absent.py"),
        (["net.py:broken", *TENSOR], 3, "net.py"),
        (["net.py:Nan", *TENSOR], 3, "NaN"),
        (["net.py:Net", "--task", "tensor", "--data", "nowhere.safetensors"], 3, "nowhere.safetensors"),
        (["net.py:Net", "--task", "tensor"], 2, "--input"),
        (["net.py:Net", "--task", "no-such-task", "--data", "x.safetensors"], 2, "image-classification"),
        (["net.py:Net", *TENSOR, "--set", "mean=1"], 2, "mean"),
        (["net.py:Net", *TENSOR, "--budget", "speed>9"], 2, "latency<="),
        (["net.py:Net", *TENSOR, "--for", "fridge"], 2, "fridge"),
        (["net.py:Net", "--task", "tensor", "--data", "x.safetensors", "--targets", "tvm"], 2, "onnx"),
        (["--no-such-flag"], 2, "no-such-flag"),
    ],
)
def test_bad_input_is_one_clear_line(place: Path, args: list[str], code: int, says: str) -> None:
    ran = torchport("deploy", *args, "-o", "bad.tport", cwd=place)
    assert ran.code == code, ran.err
    assert says in ran.err and "Traceback" not in ran.err
    assert not (place / "bad.tport").exists() and left(place, "bad.tport") == []


def test_a_pickle_is_refused_and_never_run(place: Path) -> None:
    (place / "evil.pt").write_bytes(pickle.dumps(Evil(place / "owned")))
    ran = torchport("deploy", "net.py:Net", "--weights", "evil.pt", *TENSOR, "-o", "e.tport", cwd=place)
    assert ran.code == 3 and not (place / "owned").exists() and not (place / "e.tport").exists()


def test_a_model_that_cannot_be_captured_names_the_line(place: Path) -> None:
    ran = torchport("deploy", "net.py:Branch", *TENSOR, "-o", "c.tport", cwd=place)
    assert ran.code == 3 and "net.py:" in ran.err


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_or_killed_leaves_the_previous_bundle(
    deployed: Ran, place: Path, tmp_path: Path, sign: signal.Signals
) -> None:
    assert deployed.code == 0, deployed.err
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    place = tmp_path
    before = (place / "net.tport/torchport.json").read_bytes()
    code, said = interrupted(place, "measure", sign)
    assert code == (130 if sign == signal.SIGINT else -signal.SIGKILL)
    assert (place / "net.tport/torchport.json").read_bytes() == before
    if sign == signal.SIGINT:
        assert left(place, "net.tport") == []
        assert "net.interrupted.tport holds what was proven by then" in said
        assert torchport("verify", "net.interrupted.tport", cwd=place).code == 0
    again = torchport("deploy", "net.py:Net", *TENSOR, "-o", "net.tport", cwd=place)
    assert again.code == 0 and left(place, "net.tport") == [], again.err


def test_terminated_keeps_what_is_proven_and_says_how_to_go_on(place: Path, tmp_path: Path) -> None:
    for name in ("net.py", "x.safetensors"):
        shutil.copy(place / name, tmp_path)
    code, said = interrupted(tmp_path, "prove", signal.SIGTERM)
    assert code == 130
    assert "run it again: torchport deploy net.py:Net" in said
    rows = {
        c["id"]: c for c in json.loads((tmp_path / "net.tport/torchport.json").read_text())["evidence"]["candidates"]
    }
    assert rows["onnx-fp32"]["status"] == "chosen", "the quick target goes first, in whatever order they were named"
    assert (rows["openvino-fp32"]["status"], rows["openvino-fp32"]["reason"]) == (
        "absent",
        "not tried: interrupted before all was tried",
    )


def test_an_unwritable_output(place: Path) -> None:
    (place / "a-file").write_text("")
    ran = torchport("deploy", "net.py:Net", *TENSOR, "-o", "a-file/x.tport", cwd=place)
    assert ran.code == 3 and "cannot write" in ran.err


def test_errors_are_documents_too(place: Path) -> None:
    ran = torchport("predict", "nowhere.tport", "x.safetensors", cwd=place)
    assert ran.code == 3 and ran.out["error"]["type"] == "BundleError"


def test_made_up_inputs(place: Path) -> None:
    ran = torchport(
        "deploy",
        "net.py:Net",
        "--input",
        "x:float32[batch,10]",
        "--targets",
        "onnx",
        "-o",
        "made up é.tport",
        cwd=place,
    )
    assert ran.code == 0, ran.err
    manifest = json.loads((place / "made up é.tport/torchport.json").read_text())
    assert manifest["provenance"]["made_up_inputs"] is True
