"""A Bundle is used where neither PyTorch nor any converter is installed: with what `pip install torchport` brings, and
nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from command import Ran, parsed
from command import torchport as whole

import torchport as package

FOREIGN = ("torch", "onnx", "onnxscript", "onnxslim", "openvino", "executorch", "transformers")


def required(name: str, found: dict[str, Distribution]) -> None:
    """A distribution and all that it needs by default."""
    from packaging.requirements import Requirement

    if name in found:
        return
    found[name] = distribution(name)
    for line in found[name].requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            required(requirement.name.lower().replace("_", "-"), found)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an interpreter that finds the base install only: links to what its distributions are made
    of.
    """
    folder = tmp_path_factory.mktemp("base")
    found: dict[str, Distribution] = {}
    required("torchport", found)
    tops = {
        (one, file.parts[0])
        for name, one in found.items()
        if name != "torchport"
        for file in one.files or ()
        if file.parts[0] not in ("..", "__pycache__")
    }
    for one, top in tops:
        (folder / top).symlink_to(Path(str(one.locate_file(top))))
    (folder / "torchport").symlink_to(Path(package.__file__).parent)
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def torchport(base: dict[str, str], *args: object, cwd: Path, json: bool = True) -> Ran:
    """One call, in an interpreter that does not look where packages are installed (-S)."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "torchport", *map(str, args), *(["--json"] if json else [])],
        cwd=cwd,
        env=base,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, parsed(done.stdout), done.stderr)


def test_nothing_of_the_build_half_is_there(base: dict[str, str]) -> None:
    code = (
        f"import importlib.util, sys; sys.exit(str([name for name in {FOREIGN!r} if importlib.util.find_spec(name)]))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], env=base, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


def test_pictures_are_answered_alike(base: dict[str, str], pictured: Ran, gallery: Path) -> None:
    ran = torchport(base, "predict", "Augen é.tport", "Fotos 猫/Bild é1_1.png", cwd=gallery)
    assert ran.code == 0 and ran.out["variant"] == "onnx-fp32", ran.err
    golden = torchport(base, "verify", "Augen é.tport", cwd=gallery)
    assert golden.code == 0 and golden.out["ok"], golden.err
    people = torchport(
        base, "predict", "Augen é.tport", "Fotos 猫/Bild é1_1.png", "--in-graph", cwd=gallery, json=False
    )
    assert people.code == 0 and "çiçek 猫" in people.out


def test_tensors_are_answered(base: dict[str, str], deployed: Ran, place: Path) -> None:
    ran = torchport(base, "predict", "net.tport", "x.safetensors", "--variant", "onnx-fp32", cwd=place)
    assert ran.code == 0 and len(ran.out["results"][0]["outputs"]["output_0"]) == 8, ran.err


def test_what_is_absent_names_its_install_line(base: dict[str, str], deployed: Ran, place: Path) -> None:
    ran = torchport(base, "verify", "net.tport", cwd=place)
    assert ran.code == 0 and ran.out["ok"], ran.err
    rows = {row["id"]: row for row in ran.out["variants"]}
    assert rows.pop("onnx-fp32")["status"] == "ok"
    assert {row["status"] for row in rows.values()} == {"absent"}
    assert "torch is not installed; pip install 'torchport[build]'" in rows["torchscript-fp32"]["reason"]
    assert "openvino is not installed; pip install 'torchport[openvino]'" in rows["openvino-fp32"]["reason"]
    refused = torchport(base, "predict", "net.tport", "x.safetensors", "--variant", "torchscript-fp32", cwd=place)
    assert refused.code == 6 and "pip install 'torchport[build]'" in refused.err


def test_a_coded_bundle_needs_zstandard_and_no_more(
    base: dict[str, str], deployed: Ran, place: Path, tmp_path: Path
) -> None:
    import zstandard

    small = tmp_path / "small.tport"
    assert whole("pack", "net.tport", "--keep", "onnx-fp32", "--smallest", "-o", small, cwd=place).code == 0
    base = {**base, "TORCHPORT_CACHE": str(tmp_path / "cache")}  # which nobody has decoded it into
    refused = torchport(base, "predict", small, "x.safetensors", cwd=place)
    assert refused.code == 6 and "pip install 'torchport[smallest]'" in refused.err
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra/zstandard").symlink_to(Path(zstandard.__file__).parent)
    more = {**base, "PYTHONPATH": f"{base['PYTHONPATH']}{os.pathsep}{tmp_path / 'extra'}"}
    ran = torchport(more, "predict", small, "x.safetensors", cwd=place)
    assert (
        ran.code == 0
        and ran.out["results"]
        == torchport(base, "predict", "net.tport", "x.safetensors", "--variant", "onnx-fp32", cwd=place).out["results"]
    ), ran.err
    assert torchport(more, "verify", small, cwd=place).out["ok"]


def test_another_variant_stands_in(base: dict[str, str], deployed: Ran, place: Path, tmp_path: Path) -> None:
    packed = torchport(
        base, "pack", "net.tport", "--keep", "openvino-fp32,onnx-fp32", "-o", tmp_path / "two.tport", cwd=place
    )
    assert packed.code == 0, packed.err
    manifest = tmp_path / "two.tport/torchport.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"python": "onnx-fp32"', '"python": "openvino-fp32"'))
    ran = torchport(base, "predict", tmp_path / "two.tport", "x.safetensors", cwd=place)
    assert ran.code == 0 and ran.out["variant"] == "onnx-fp32", ran.err
    assert "note: using onnx-fp32 (openvino-fp32: openvino is not installed" in ran.err


@pytest.mark.parametrize("verb", ["inspect", "targets", "tasks", "doctor", "bench", "deploy"])
def test_every_verb_answers_or_says_what_to_install(
    base: dict[str, str], deployed: Ran, place: Path, verb: str
) -> None:
    args = {
        "inspect": ["net.tport"],
        "bench": ["net.tport"],
        "deploy": ["net.py:Net", "--data", "x.safetensors", "-o", "new.tport"],
    }.get(verb, [])
    for json in (True, False) if verb != "bench" else (True,):
        ran = torchport(base, verb, *args, cwd=place, json=json)
        assert ran.code == (6 if verb == "deploy" else 0) and "Traceback" not in ran.err, ran.err
    if verb == "deploy":
        assert "pip install 'torchport[build]'" in ran.err
