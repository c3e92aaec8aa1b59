"""`torchport predict` as typed: which variant answers, what is said where it is another than wanted, and what a bad
file costs.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from command import Ran, torchport, within
from safetensors.numpy import load_file

from torchport.predict import Predictor

ELSEWHERE = {"TORCHPORT_CACHE": "off"}
"""The environment of somebody who did not make the Bundle."""


@pytest.fixture
def eyes(pictured: Ran, gallery: Path) -> Path:
    assert pictured.code == 0, pictured.err
    return gallery


def test_a_folder_with_bad_files_among_good_ones(eyes: Path) -> None:
    ran = within("predict", "Augen é.tport", "Fotos 猫", "--save-outputs", "sörties 1.safetensors", cwd=eyes)
    assert ran.code == 3 and "2 of 7 inputs could not be answered" in ran.err and "Traceback" not in ran.err
    assert [row["ok"] for row in ran.out["results"]] == [False, True, True, True, True, True, False]
    assert "cut off" in ran.out["results"][0]["error"] and "not a picture" in ran.out["results"][6]["error"]
    good = ran.out["results"][1]
    assert good["input"].endswith("Bild é0_0.png") and {row["label"] for row in good["labels"]} == {
        "cat",
        "çiçek 猫",
        "dog",
    }
    assert sum(row["score"] for row in good["labels"]) == pytest.approx(1)
    assert {key.split("/")[0] for key in load_file(eyes / "sörties 1.safetensors")} == {"1", "2", "3", "4", "5"}


def test_top_threads_and_in_graph(eyes: Path) -> None:
    photo = "Fotos 猫/Bild é1_1.png"
    host = within("predict", "Augen é.tport", photo, "--top", "1", "--threads", "2", cwd=eyes)
    assert host.code == 0 and len(host.out["results"][0]["labels"]) == 1
    graph = within("predict", "Augen é.tport", photo, "--in-graph", "--variant", "openvino-fp32", cwd=eyes)
    assert graph.out["variant"] == "openvino-fp32"
    assert graph.out["results"][0]["labels"][0]["score"] == pytest.approx(
        host.out["results"][0]["labels"][0]["score"], abs=1e-2
    )
    for flag in ("--top", "--threads"):
        assert within("predict", "Augen é.tport", photo, flag, "0", cwd=eyes).code == 2


def test_the_answer_for_people(eyes: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "torchport", "predict", "Augen é.tport", "Fotos 猫/Bild é1_1.png", "nowhere.png"],
        cwd=eyes,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3 and "çiçek 猫" in done.stdout
    assert (
        "error: nowhere.png: No such file or directory" in done.stdout
        and "1 of 2 inputs could not be answered" in done.stderr
    )


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--variant", "onnx-int4"], 3, "it has onnx-fp32"),
        (["--save-outputs", "Namen.txt/out.safetensors"], 3, "cannot write out.safetensors"),
        (["--save-outputs", "Fotos 猫"], 3, "cannot write Fotos 猫"),
        (["--threads", "many"], 2, "--threads"),
    ],
)
def test_wrong_flags(eyes: Path, args: list[str], code: int, says: str) -> None:
    ran = within("predict", "Augen é.tport", "Fotos 猫/Bild é1_1.png", *args, cwd=eyes)
    assert ran.code == code and says in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize("name", ["Namen.txt", "Fotos 猫", "nowhere.tport"])
def test_what_is_no_bundle(eyes: Path, name: str) -> None:
    for verb in (
        ["predict", name, "Namen.txt"],
        ["verify", name],
        ["inspect", name],
        ["bench", name],
        ["pack", name, "-o", "new.tport"],
    ):
        ran = within(*verb, cwd=eyes)
        assert ran.code == 3 and ran.out["error"]["type"] == "BundleError" and name in ran.err, ran.err


def test_a_folder_without_a_picture(eyes: Path, tmp_path: Path) -> None:
    ran = within("predict", eyes / "Augen é.tport", tmp_path, cwd=eyes)
    assert ran.code == 3 and ".jpg" in ran.err


def test_names_that_are_no_text(eyes: Path) -> None:
    strange = os.fsdecode(b"Fotos \xff.png")
    shutil.copyfile(eyes / "Fotos 猫/Bild é1_1.png", eyes / strange)
    try:
        ran = torchport("predict", "Augen é.tport", strange, cwd=eyes)
    finally:
        (eyes / strange).unlink()
    assert ran.code == 0 and ran.out["results"][0]["ok"], ran.err


def test_code_from_elsewhere_needs_trust(eyes: Path) -> None:
    scripted = ("predict", "Augen é.tport", "Fotos 猫/Bild é1_1.png", "--variant", "torchscript-fp32")
    assert torchport(*scripted, cwd=eyes).code == 0
    refused = torchport(*scripted, cwd=eyes, env=ELSEWHERE)
    assert refused.code == 3 and "--trust" in refused.err and refused.out["error"]["type"] == "BundleError"
    assert torchport(*scripted, "--trust", cwd=eyes, env=ELSEWHERE).code == 0


def test_one_file_answers_like_the_folder_and_moves_with_its_trust(eyes: Path) -> None:
    packed = within("pack", "Augen é.tport", "--zip", "-o", "un fichier.tport", cwd=eyes)
    assert packed.code == 0, packed.err
    for variant in ("onnx-fp32", "torchscript-fp32"):
        whole, zipped = (
            within("predict", name, "Fotos 猫/Bild é1_1.png", "--variant", variant, cwd=eyes)
            for name in ("Augen é.tport", "un fichier.tport")
        )
        assert zipped.code == 0 and zipped.out["results"] == whole.out["results"], zipped.err
    assert within("verify", "un fichier.tport", cwd=eyes).out["ok"]
    (eyes / "half.tport").write_bytes((eyes / "un fichier.tport").read_bytes()[:20_000])
    half = within("predict", "half.tport", "Fotos 猫/Bild é1_1.png", cwd=eyes)
    assert half.code == 3 and "cut off" in half.err


@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32", "torchscript-fp32"])
def test_many_threads_may_use_one_predictor(eyes: Path, variant: str) -> None:
    photos = sorted((eyes / "Fotos 猫").glob("Bild*")) * 20
    with Predictor(eyes / "Augen é.tport", variant=variant) as predictor, ThreadPoolExecutor(6) as pool:
        alone = {photo: predictor.predict(photo)["labels"] for photo in photos[:5]}
        for photo, found in zip(photos, pool.map(predictor.predict, photos), strict=True):
            assert [row["index"] for row in found["labels"]] == [row["index"] for row in alone[photo]]
            np.testing.assert_allclose(
                [row["score"] for row in found["labels"]], [row["score"] for row in alone[photo]], atol=1e-5
            )
