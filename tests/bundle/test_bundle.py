"""What anybody who opens, moves or damages a Bundle relies on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchport.bundle import Bundle, Manifest, TaskRecord, Variant, writer
from torchport.bundle.manifest import decode, encode, json_schema
from torchport.bundle.rules import check_inside
from torchport.errors import BundleError, OutputError
from torchport.types import Artifact, GraphFile, Signature, Step, TensorIO, TensorSpec

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=8)
SPEC = TensorSpec(name="x", dtype="float32", shape=("batch", 4))


def manifest(name: str = "net", facts: dict[str, object] | None = None) -> Manifest:
    io = {"x": TensorIO(name="x", dtype="float32", batch="dynamic")}
    artifact = Artifact(
        target="fake",
        recipe="fp32",
        precision="fp32",
        graphs={"model": GraphFile(entry="model.json", files=("model.json",), io=io)},
    )
    return Manifest(
        schema=1,
        name=name,
        torchport="0",
        task=TaskRecord(name="tensor", facts=facts or {}),
        graphs={"model": Signature(inputs=(SPEC,), outputs=(SPEC,))},
        steps=(
            Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"x": "x"}),
            Step(name="model", graph="model", inputs={"x": "x"}, outputs={"x": "y"}),
            Step(name="present", host="present", inputs={"x": "y"}, outputs={"result": "result"}),
        ),
        variants=(Variant(id="fake-fp32", artifact=artifact, tolerance=1e-4),),
        chosen="fake-fp32",
    )


def make(target: Path, text: str = "{}") -> Path:
    with writer.staging(target) as folder:
        (folder / "variants/fake-fp32").mkdir(parents=True)
        (folder / "variants/fake-fp32/model.json").write_text(text)
        writer.finish(folder, manifest())
        writer.publish(folder, target)
    return target


@settings(max_examples=50, deadline=None)
@given(
    NAMES,
    st.dictionaries(
        NAMES,
        st.none()
        | st.booleans()
        | st.integers(-(2**40), 2**40)
        | st.text(max_size=20)
        | st.lists(st.floats(-1e6, 1e6), max_size=3),
        max_size=4,
    ),
)
def test_a_manifest_survives_its_json(name: str, facts: dict[str, object]) -> None:
    one = manifest(name, facts)
    assert decode(encode(one), "here") == one
    assert encode(decode(encode(one), "here")) == encode(one)


def test_the_schema_names_every_field() -> None:
    text = json.dumps(json_schema())
    for field in Manifest.__struct_fields__:
        assert f'"{field}"' in text


@pytest.mark.parametrize("where", ["net.tport", "with space é 猫/net.tport"])
def test_folder_and_zip_read_alike(tmp_path: Path, where: str) -> None:
    target = tmp_path / where
    make(target)
    with Bundle(target) as folder:
        writer.write_zip(target, tmp_path / "one.tport", list(folder.entries))
        with Bundle(tmp_path / "one.tport") as packed:
            assert packed.manifest == folder.manifest
            variant = packed.manifest.variant("fake-fp32")
            assert (packed.variant_folder(variant, ["model"]) / "model.json").read_text() == "{}"
            packed.check_all()
    with zipfile.ZipFile(tmp_path / "one.tport") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_equal_bundles_give_equal_zips(tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = make(tmp_path / name / "net.tport")
        with Bundle(folder) as opened:
            writer.write_zip(folder, tmp_path / f"{name}.zip", list(opened.entries))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    path = make(tmp_path / "net.tport") / "variants/fake-fp32/model.json"
    path.write_text("{]")
    with Bundle(tmp_path / "net.tport") as bundle, pytest.raises(BundleError, match=r"model\.json is damaged"):
        bundle.check_all()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (make(tmp_path / "net.tport") / "variants/fake-fp32/model.json").unlink()
    with pytest.raises(BundleError, match=r"variants/fake-fp32/model\.json is missing"):
        Bundle(tmp_path / "net.tport")


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "net.tport") / "variants/fake-fp32/model.json"
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(BundleError, match="link"):
        Bundle(tmp_path / "net.tport")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "..", "", "a\\..\\b", "C:/x", "./a", "a//b"])
def test_a_path_that_climbs_out_is_refused(path: str) -> None:
    with pytest.raises(BundleError, match="leaves the Bundle"):
        check_inside(path, "net.tport")


def test_a_newer_schema_says_upgrade(tmp_path: Path) -> None:
    path = make(tmp_path / "net.tport") / "torchport.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "schema": 99, "something": "new"}))
    with pytest.raises(BundleError, match=r"newer torchport.*upgrade"):
        Bundle(tmp_path / "net.tport")


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"schema": 1}', '{"schema": "one"}'])
def test_a_broken_manifest_is_one_clear_line(tmp_path: Path, text: str) -> None:
    (make(tmp_path / "net.tport") / "torchport.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest|schema"):
        Bundle(tmp_path / "net.tport")


def test_a_failure_leaves_the_previous_bundle_and_no_debris(tmp_path: Path) -> None:
    target = make(tmp_path / "net.tport", "old")
    with pytest.raises(RuntimeError), writer.staging(target) as folder:
        (folder / "half").write_text("half-written")
        raise RuntimeError("the export failed")
    assert [p.name for p in tmp_path.iterdir()] == ["net.tport"]
    assert (target / "variants/fake-fp32/model.json").read_text() == "old"


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    target = make(tmp_path / "net.tport", "old")
    (tmp_path / ".net.tport.999999999.tmp").mkdir()
    target.rename(tmp_path / ".net.tport.999999999.previous")  # killed between the two renames
    make(tmp_path / "other.tport")
    writer.sweep(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.tport", "other.tport"]
    assert (target / "variants/fake-fp32/model.json").read_text() == "old"


def test_what_other_bundles_left_is_no_business_of_this_one(tmp_path: Path) -> None:
    make(tmp_path / "net.tport").rename(tmp_path / ".net.x.999999999.previous")
    make(tmp_path / "net")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".net.x.999999999.previous", "net"]


def test_two_runs_that_end_at_once_leave_one_whole_bundle(tmp_path: Path) -> None:
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_bundle import make
for number in range(60):
    make(Path({str(tmp_path / "net.tport")!r}), sys.argv[1] * (number + 1))
"""
    runs = [
        subprocess.Popen([sys.executable, "-c", code, letter], stderr=subprocess.PIPE, text=True) for letter in "ab"
    ]
    assert [(run.communicate(timeout=60)[1], run.returncode) for run in runs] == [("", 0), ("", 0)]
    assert [p.name for p in tmp_path.iterdir()] == ["net.tport"]
    with Bundle(tmp_path / "net.tport") as bundle:
        bundle.check_all()


def test_a_living_run_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / f".net.tport.{os.getppid()}.tmp"
    other.mkdir()
    make(tmp_path / "net.tport")
    assert other.is_dir()


def test_something_else_at_the_output_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1.txt").write_text("ten years of work")
    with pytest.raises(OutputError, match="not a Bundle"), writer.staging(tmp_path / "thesis"):
        pass
    assert (tmp_path / "thesis/chapter1.txt").read_text() == "ten years of work"


def test_an_unwritable_output_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), writer.staging(tmp_path / "file/net.tport"):
        pass
