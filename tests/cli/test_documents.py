"""What every verb prints with --json follows its published schema, and holds nothing that the schema does not
describe.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command import Ran, torchport, within
from jsonschema import Draft202012Validator

from torchport import documents
from torchport.bundle import Manifest, manifest
from torchport.tasks import tasks
from torchport.types import Candidate, Choice, Parity, Reference

SCHEMAS = Path(__file__).parents[2] / "docs/schema"


def published(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))


def follows(document: Any, name: str) -> None:
    """A reader's validation by the published file, and ours, which knows every field."""
    Draft202012Validator(published(name)).validate(document)
    if name != "predict":
        msgspec.convert(document, documents.kinds()[name])


@pytest.mark.parametrize("path", sorted(SCHEMAS.iterdir()), ids=lambda path: path.name)
def test_every_published_file_is_a_schema(path: Path) -> None:
    Draft202012Validator.check_schema(json.loads(path.read_text("utf-8")))


def test_deploy_and_bench(deployed: Ran, place: Path) -> None:
    follows(deployed.out, "deploy")
    follows(torchport("bench", "net.tport", cwd=place).out, "deploy")


def test_a_decision_that_nothing_met_the_budget() -> None:
    row = Candidate(
        id="fake-fp32",
        target="fake",
        recipe="fp32",
        precision="fp32",
        status="failed",
        parity=Parity(ok=False, max_rel=1.0, snr_db=None, stage="model", reason="NaN"),
    )
    none = Choice(
        chosen=None,
        chosen_for={},
        met="no",
        why="",
        met_because="",
        front=(),
        candidates=(row,),
        nearest={"size": "fake-fp32: 2 MB, 1 MB allowed"},
    )
    document = json.loads(
        msgspec.json.encode(documents.choice(None, none, Reference(latency_ms=None, accuracy=None, size_bytes=None)))
    )
    follows(document, "deploy")
    assert document["bundle"] is None and document["candidates"][0]["parity"] == {
        "ok": False,
        "max_rel": 1.0,
        "snr_db": None,
        "stage": "model",
        "reason": "NaN",
    }


def test_export(place: Path) -> None:
    ran = torchport("export", "net.py:Net", "--data", "x.safetensors", "--targets", "onnx", "-o", "exported", cwd=place)
    follows(ran.out, "export")
    assert ran.out["artifacts"][0]["files"] == ["onnx-fp32/model.onnx"]


def test_predict_with_a_good_and_a_bad_input(deployed: Ran, place: Path) -> None:
    ran = torchport("predict", "net.tport", "x.safetensors", "net.py", cwd=place)
    follows(ran.out, "predict")
    good, bad = ran.out["results"]
    assert good["ok"] and not bad["ok"] and bad["error"]
    assert set(good) <= set(published("predict")["$defs"]["Prediction"]["properties"])


@pytest.mark.parametrize("verb", ["inspect", "verify"])
def test_what_reads_a_bundle(deployed: Ran, place: Path, verb: str) -> None:
    follows(torchport(verb, "net.tport", cwd=place).out, verb)


def test_the_manifest_follows_its_own_schema(deployed: Ran, place: Path) -> None:
    document = json.loads((place / "net.tport/torchport.json").read_text("utf-8"))
    Draft202012Validator(published(f"bundle-{manifest.SCHEMA}")).validate(document)
    msgspec.convert(document, Manifest)


def test_pack(deployed: Ran, place: Path) -> None:
    follows(torchport("pack", "net.tport", "--keep", "chosen", "-o", "packed.tport", cwd=place).out, "pack")


def test_a_coded_bundle(deployed: Ran, place: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.tport"
    packed = torchport("pack", "net.tport", "--keep", "onnx-fp32", "--smallest", "-o", small, cwd=place)
    follows(packed.out, "pack")
    (row,) = packed.out["sizes"]
    assert row["size_bytes"] < row["decoded_bytes"] and row["download_bytes"] > 0 and row["memory_bytes"]
    assert (
        packed.out["size_bytes"]
        == sum(path.stat().st_size for path in small.rglob("*") if path.is_file() and path.name != manifest.NAME)
        < packed.out["decoded_bytes"]
    )
    for verb, args, name in (
        ("inspect", (), "inspect"),
        ("verify", (), "verify"),
        ("predict", ("x.safetensors",), "predict"),
        ("bench", (), "deploy"),
    ):
        ran = torchport(verb, small, *args, cwd=place)
        assert ran.code == 0, ran.err
        follows(ran.out, name)
    assert ran.out["candidates"][0]["size_bytes"] == row["size_bytes"] and ran.out["candidates"][0]["latency_ms"]
    assert list(small.rglob("*.onnx*")) == [small / "variants/onnx-fp32/model.onnx.zst"]


def test_a_difference_that_keeps_its_budget_and_one_that_breaks_it(deployed: Ran, place: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.tport"
    assert torchport("pack", "net.tport", "--smallest", "-o", small, cwd=place).code == 0
    kept = torchport(
        "diff",
        "net.tport",
        small,
        "--variant",
        "onnx-fp32",
        "--data",
        "x.safetensors",
        "--budget",
        "accuracy<=1pt,latency<=+200%,size<=100%",
        cwd=place,
    )
    assert kept.code == 0, kept.err
    follows(kept.out, "diff")
    assert kept.out["new"]["size_bytes"] < kept.out["old"]["size_bytes"] and kept.out["new"]["latency_ms"]["median"] > 0
    assert kept.out["items"] == 8 and kept.out["changed"] == [] and kept.out["met"] == "not shown"
    broken = torchport("diff", small, "net.tport", "--variant", "onnx-fp32", "--budget", "size<=100%", cwd=place)
    follows(broken.out, "diff")
    assert broken.code == 4 and list(broken.out["broken"]) == ["size"] and "over the" in broken.err


@pytest.mark.parametrize("verb", ["doctor", "targets", "tasks"])
def test_what_needs_no_bundle(tmp_path: Path, verb: str) -> None:
    follows(torchport(verb, cwd=tmp_path).out, verb)


def test_completion(tmp_path: Path) -> None:
    follows(torchport("completion", "zsh", cwd=tmp_path).out, "completion")


def test_an_error(tmp_path: Path) -> None:
    ran = torchport("verify", "nowhere.tport", cwd=tmp_path)
    follows(ran.out, "error")
    assert ran.out["error"]["message"] in ran.err


def test_the_answers_of_every_task_are_described() -> None:
    described = published("predict")["$defs"]["Prediction"]["properties"]
    for name in tasks.names():
        assert {*tasks.get(name).answer.__struct_fields__} <= set(described) - {"input", "ok", "error"}


def test_an_answer_of_a_picture_follows_the_schema() -> None:
    task = tasks.get("image-classification")
    result = task.host["present"]({"scores": [[0.25, 0.75]]}, task.facts(top=2, labels=("cat", "dog")))["result"]
    follows({"bundle": "b", "variant": "v", "results": [documents.prediction("cat.jpg", result, None)]}, "predict")
    assert msgspec.convert(result, task.answer).labels[0].label == "dog"


def test_a_field_of_the_wrong_type_is_found() -> None:
    with pytest.raises(Exception, match="is not of type"):
        follows({"bundle": 1, "variants": [], "size_bytes": 0}, "pack")


def test_plan(deployed: Ran, place: Path) -> None:
    words = ("net.tport", "--rate", "1000/s", "--p99", "1s", "--cores", "64", "--price", "0.04")
    measured = within("plan", *words, cwd=place)
    follows(measured.out, "plan")
    assert measured.out["replicas"] >= 1 and measured.out["memory_bytes"] > 10**7
    assert [point["batch"] for point in measured.out["curve"]] == [1, 2, 4, 8, 16]
    told = within("plan", *words, "--curve", "1=5ms,8=30ms", cwd=place)
    assert told.out["curve"][1] == {"batch": 8, "ms": 30.0, "per_second": 266.67} and not told.out["notes"]
    assert within("plan", *words[:4], "1ms", "--curve", "1=5ms,8=30ms", cwd=place).code == 4
