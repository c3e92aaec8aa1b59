"""What a runtime says of itself, held against what was chosen."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from handmade import bundle, known
from torchport.bundle import Bundle, Variant
from torchport.bundle.honesty import findings
from torchport.errors import MissingDependency
from torchport.predict import Predictor
from torchport.system import machine
from torchport.targets import targets
from torchport.targets.shared import here
from torchport.testing import FakeTarget
from torchport.types import Artifact, GraphFile, Used

USED = Used(library="onnxruntime", version="1.32.1", provider="CPUExecutionProvider", precision="fp32", threads=1)


def variant(precision: str = "fp32", threads: int | None = 1, **artifact: object) -> Variant:
    made = Artifact(
        target="onnx",
        recipe=precision,
        precision=precision,
        graphs={"model": GraphFile(entry="model.onnx", files=("model.onnx",), io={})},
        **{"requires": {"onnxruntime": "1.32.0"}, **artifact},  # type: ignore[arg-type]
    )
    return Variant(id=f"onnx-{precision}", artifact=made, tolerance=1e-4, threads=threads)


def said(one: Variant, used: Used = USED, device: str = "cpu", **machine: object) -> str:
    return "; ".join(findings(one, {"model": used}, machine, device))


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)


def changed(**fields: object) -> Used:
    return msgspec.structs.replace(USED, **fields)  # type: ignore[arg-type]


def test_what_is_as_it_was_says_nothing() -> None:
    assert said(variant(), instruction_sets=list(machine.describe().instruction_sets)) == ""


def test_more_threads_than_cores_are_told_with_the_number_to_set() -> None:
    assert "8 threads on 2 cores" in said(variant(), changed(threads=8))
    assert "--threads 2" in said(variant(), changed(threads=8))
    assert "8 threads were measured as the best" in said(variant(threads=8), changed(threads=2))


def test_another_precision_than_the_verified_one_is_told() -> None:
    assert "computes in bf16, where fp32 was verified" in said(variant(), changed(precision="bf16"))
    assert said(variant("bf16"), changed(precision="bf16")) == ""


def test_another_provider_than_the_one_asked_for_is_told() -> None:
    text = said(variant(), device="cuda/CUDAExecutionProvider")
    assert "runs on CPUExecutionProvider, where cuda/CUDAExecutionProvider was asked for" in text


def test_another_release_is_told_with_the_line_that_brings_the_other() -> None:
    text = said(variant(), changed(version="1.24.0"))
    assert "made with onnxruntime 1.32.0, here it is 1.24.0" in text and "onnxruntime==1.32.0" in text


def test_integers_on_a_cpu_that_does_not_multiply_them(monkeypatch: pytest.MonkeyPatch) -> None:
    old = msgspec.structs.replace(machine.describe(), instruction_sets=("avx2",))
    monkeypatch.setattr(machine, "describe", lambda: old)
    then = ["avx2", "avx512_vnni", "\x1b[2Jstrange"]
    text = said(variant("int8_static"), instruction_sets=then)
    assert "timed on a CPU with avx512_vnni, which this one lacks" in text and "\x1b" not in text
    assert said(variant("fp32"), instruction_sets=then) == ""
    assert said(variant("int8_static"), instruction_sets={"a": 1}) == ""


@pytest.mark.parametrize(
    ("opens", "made", "opened"),
    [
        ("any", "99.0", True),
        ("older", "1.0.0", True),
        ("older", "2.5.1+cpu", True),
        ("older", "2.6.0", False),
        ("same", "2.5.9", True),
        ("same", "2.4.0", False),
    ],
)
def test_a_release_that_does_not_open_an_artefact_is_refused_with_the_install_line(
    monkeypatch: pytest.MonkeyPatch, opens: str, made: str, opened: bool
) -> None:
    target = targets.get("openvino")
    monkeypatch.setattr(type(target), "opens", opens)
    monkeypatch.setattr(type(target), "version", lambda self: "2.5.0")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    artifact = variant(requires={"openvino": made}).artifact
    assert (here.skew(target, artifact) is None) is opened
    if not opened:
        with pytest.raises(MissingDependency, match=f"needs openvino {made[:3]}.*here it is 2.5.0") as error:
            here.require(target, artifact)
        assert "pip install 'openvino" in error.value.hint


def test_a_predictor_keeps_to_the_cores_that_its_process_may_use(tmp_path: Path) -> None:
    """The recorded best of a greater machine is cut, and that is a finding."""
    made = bundle(
        tmp_path / "a.tport",
        change=lambda manifest: msgspec.structs.replace(
            manifest,
            variants=tuple(msgspec.structs.replace(one, threads=16) for one in manifest.variants),
        ),
    )
    with Bundle(made) as opened:
        assert opened.manifest.variants[0].threads == 16
    with known(FakeTarget()), Predictor(made) as predictor:
        assert next(iter(predictor.pipeline.runners.values())).threads == 2
        assert any("16 threads were measured as the best" in line for line in predictor.findings)


def test_a_runtime_that_nobody_named_threads_for_gets_those_of_its_container(tmp_path: Path) -> None:
    with known(FakeTarget()), Predictor(bundle(tmp_path / "a.tport")) as predictor:
        runner = next(iter(predictor.pipeline.runners.values()))
        assert runner.threads == machine.threads() <= 2
