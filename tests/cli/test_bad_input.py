"""What a user can hand over that is wrong: one clear line with the next step, the documented exit code, nothing
half-written.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command import PICTURES, Ran, start, torchport, within

from torchport.bundle import Bundle

ROWS = ("--input", "x:float32[batch,10]", "--targets", "onnx")


class Evil:
    """A pickle that would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


@pytest.fixture
def net(place: Path, tmp_path: Path) -> Path:
    """A folder of one's own with `net.py` and `x.safetensors`."""
    for name in ("net.py", "x.safetensors"):
        shutil.copyfile(place / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def photos(gallery: Path, tmp_path: Path) -> Path:
    """A folder of one's own with the eyes, their labels and two good pictures, unlabelled."""
    for name in ("Augen é.py", "Namen.txt"):
        shutil.copyfile(gallery / name, tmp_path / name)
    (tmp_path / "data").mkdir()
    for i in (1, 2):
        shutil.copyfile(gallery / f"Fotos 猫/Bild é{i}_{i}.png", tmp_path / f"data/{i}.png")
    return tmp_path


def refused(ran: Ran, folder: Path, code: int, *says: str) -> None:
    """One error line that says these things, and no Bundle nor anything hidden beside it."""
    errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert ran.code == code and len(errors) == 1 and "Traceback" not in ran.err, ran.err
    assert all(word in errors[0] for word in says), errors
    left = [path.name for path in folder.iterdir() if path.name == "bad.tport" or path.name.startswith(".bad")]
    assert left == []


def deploy(folder: Path, *args: object) -> Ran:
    return within("deploy", *args, "-o", "bad.tport", cwd=folder)


def test_unreadable_items_are_left_out_counted_and_named(pictured: Ran, gallery: Path) -> None:
    assert pictured.code == 0, pictured.err
    assert "note: 2 of 7 items cannot be used and are left out (Abgeschnitten_0.png: " in pictured.err
    row = next(row for row in pictured.out["candidates"] if row["id"] == "onnx-fp32")
    assert row["accuracy"]["items"] == 5 and row["agreement"] == 1
    report = (gallery / "Augen é.tport/report.html").read_text()
    assert "Abgeschnitten_0.png" in report and "Text_1.jpg" in report
    assert report.count("data:image/jpeg") == 5, "each item of the report has its picture, golden or not"
    assert "labelled çiçek 猫" in report and "labelled 1" not in report
    with Bundle(gallery / "Augen é.tport") as bundle:
        assert all(name.startswith("Bild") for name in bundle.manifest.golden[0].items)


def test_the_next_line_is_quoted_and_works(pictured: Ran, gallery: Path) -> None:
    """`gallery` is a folder whose every path has spaces and other letters."""
    assert pictured.code == 0, pictured.err
    line = next(line for line in pictured.err.splitlines() if line.startswith("next: ")).removeprefix("next: ").strip()
    words = shlex.split(line)
    assert words == ["torchport", "predict", "Augen é.tport", "Fotos 猫"]
    ran = torchport(*words[1:], cwd=gallery)
    assert len(ran.out["results"]) == 7 and sum(row["ok"] for row in ran.out["results"]) == 5


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--data", "nowhere"], 3, ["nowhere", "does not exist"]),
        (["--data", "empty"], 3, ["empty", "no picture"]),
        (["--data", "texts"], 3, ["not a picture"]),
        (["--data", "Namen.txt"], 3, ["not a picture"]),
        (["--data", "data", "--set", "labels=two.txt"], 3, ["2 names", "answers 3"]),
        (["--data", "data", "--set", "labels=nowhere.txt"], 2, ["nowhere.txt", "cannot be read"]),
        (["--data", "beyond.csv"], 3, ["beyond.csv, line 2", "'7' is not a label"]),
        (["--data", "data", "--golden", "nowhere"], 3, ["nowhere", "--golden"]),
        (["--data", "data", "--golden", "empty"], 3, ["empty", "no picture"]),
        (["--data", "data", "--set", "resize=-3"], 2, ["resize"]),
        (["--data", "data", "--set", "mean=blue"], 2, ["mean"]),
        (["--data", "data", "--set", "mean=1,2"], 2, ["mean"]),
        (["--data", "data", "--set", "std=0"], 2, ["std"]),
        (["--data", "data", "--set", "top=0"], 2, ["top"]),
        (["--data", "data", "--set", "interpolation=cubist"], 2, ["interpolation", "bicubic"]),
        (["--data", "data", "--set", "resize"], 2, ["--set key=value"]),
        (["--data", "data", "--set", "smell=3"], 2, ["smell"]),
        (["--data", "data", "--set", "color=L", "--set", "mean=0.5", "--set", "std=0.5"], 3, ["Augen é.py:13"]),
        (["--data", "data", "--arg", "shift=far"], 3, ["Augen é.py:13"]),
        (["--data", "data", "--arg", "shift=Infinity"], 3, ["NaN", "weights"]),
    ],
)
def test_pictures_and_facts_that_do_not_fit(photos: Path, args: list[str], code: int, says: list[str]) -> None:
    for name, content in (
        ("texts/a.png", "no"),
        ("texts/b.jpg", "neither"),
        ("two.txt", "cat\ndog\n"),
        ("beyond.csv", "file,label\ndata/1.png,7\n"),
    ):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_text(content)
    (photos / "empty").mkdir()
    refused(deploy(photos, "Augen é.py:Eyes", *PICTURES, "--targets", "onnx", *args), photos, code, *says)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["net.py:Net", "--weights", "nowhere.pt"], 3, ["nowhere.pt", "there is no file"]),
        (["net.py:Net", "--weights", "x.safetensors"], 3, ["fc1.weight"]),
        (["net.py:Net", "--weights", "cut.safetensors"], 3, ["cut.safetensors"]),
        (["net.py"], 2, ["net.py:Net"]),
        (["x.safetensors"], 3, ["--weights x.safetensors"]),
        (["hf"], 3, ["hf"]),
        (["net.py:Net", "--arg", "colour=red"], 3, ["colour"]),
        (["net.py:Net", "--arg", "classes"], 2, ["--arg key=value"]),
        (["net.py:Net", "--recipes", "int1"], 2, ["int1", "fp32"]),
        (["net.py:Net", "--recipes", ","], 2, ["--recipes names nothing"]),
        (["net.py:Net", "--targets", "eager"], 2, ["eager", "--targets"]),
        (["net.py:Net", "--limit", "0"], 2, ["--limit 0"]),
        (["net.py:Net", "--limit", "-1"], 2, ["--limit -1"]),
        (["net.py:Net", "--keep", "everything"], 2, ["front, chosen, all"]),
        (["net.py:Net", "--golden", "-2"], 3, ["--golden"]),
        (["net.py:Net", "--input", "x:float31[batch,10]"], 2, ["float31"]),
        (["net.py:Net", "--input", "y:float32[batch,10]"], 3, ["'y'", "forward takes x"]),
        (["net.py:Net", "--input", "x:float32[batch,11]"], 3, ["net.py"]),
    ],
)
def test_models_and_flags_that_are_wrong(net: Path, args: list[str], code: int, says: list[str]) -> None:
    (net / "cut.safetensors").write_bytes((net / "x.safetensors").read_bytes()[:40])
    (net / "hf").mkdir()
    (net / "hf/config.json").write_text(
        '{"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, '
        '"num_attention_heads": 1, "vocab_size": 9, "intermediate_size": 8}'
    )
    rows = [] if "--input" in args else ["--input", "x:float32[batch,10]"]
    refused(deploy(net, *args, *rows, *(() if "--targets" in args else ("--targets", "onnx"))), net, code, *says)


def test_a_program_with_code_in_it_is_never_run(net: Path) -> None:
    import torch

    torch.export.save(torch.export.export(torch.nn.Linear(10, 2), (torch.zeros(2, 10),)), net / "good.pt2")
    with zipfile.ZipFile(net / "good.pt2") as good, zipfile.ZipFile(net / "evil.pt2", "w", zipfile.ZIP_STORED) as evil:
        for entry in good.infolist():
            evil.writestr(
                entry,
                pickle.dumps(Evil(net / "owned")) if "sample_inputs" in entry.filename else good.read(entry.filename),
            )
    refused(deploy(net, "evil.pt2", *ROWS), net, 3, "evil.pt2", "never executed")
    assert not (net / "owned").exists()


@contextlib.contextmanager
def little_disk(folder: Path) -> Iterator[None]:
    """A disk of 1 MB at the folder; where it may not be mounted, files that cannot grow past 0.5 MB."""
    mounted = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
        ).returncode
        == 0
    )
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, before[1]))
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_previous_bundle(deployed: Ran, place: Path, net: Path) -> None:
    assert deployed.code == 0, deployed.err
    (net / "big.py").write_text("import torch\n\ndef make():\n    return torch.nn.Linear(1000, 600)\n")
    disk = net / "disk"
    disk.mkdir()
    with little_disk(disk):
        shutil.copytree(place / "net.tport", disk / "bad.tport", ignore=shutil.ignore_patterns("openvino*"))
        before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
        for command in (["deploy", "big.py:make", "-o", "disk/bad.tport"], ["export", "big.py:make", "-o", "disk/out"]):
            for names in ("onnx", "torchscript"):
                ran = within(*command, "--input", "input:float32[batch,1000]", "--targets", names, cwd=net)
                assert ran.code == 3 and "the disk is full" in ran.err and "free some space" in ran.err, ran.err
                assert {
                    path: path.read_bytes() for path in disk.rglob("*") if path.is_file() and path.suffix != ".log"
                } == before
                assert not (disk / "out").exists()


@pytest.mark.parametrize("output", ["net.py/new.tport", "net.py", "full", "/proc/new.tport", "x.safetensors"])
def test_places_that_cannot_be_written(net: Path, output: str) -> None:
    (net / "full").mkdir()
    (net / "full/thesis.txt").write_text("ten years of work")
    ran = within("deploy", "net.py:Net", *ROWS, "-o", output, cwd=net)
    assert ran.code == 3 and ran.out["error"]["type"] == "OutputError" and ran.out["error"]["hint"], ran.err
    assert sorted(path.name for path in net.iterdir()) == ["full", "net.py", "x.safetensors"]


def test_two_deploys_at_once_leave_one_whole_bundle(net: Path) -> None:
    command = [*start(), "deploy", "net.py:Net", *ROWS, "--golden", "none", "-o", "twice.tport", "--json"]
    runs = [
        subprocess.Popen(command, cwd=net, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for run in runs:
        _, err = run.communicate(timeout=200)
        assert run.returncode == 0, err
    assert [path.name for path in net.iterdir() if "twice" in path.name] == ["twice.tport"]
    assert within("verify", "twice.tport", cwd=net).out["ok"]


def test_data_that_does_not_fit_the_model(net: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"y": np.zeros((2, 10), np.float32)}, str(net / "y.safetensors"))
    save_file({"x": np.zeros((2, 9), np.float32)}, str(net / "nine.safetensors"))
    save_file({"x": np.zeros((2, 10), np.int64)}, str(net / "whole.safetensors"))
    for name, says in (("y", "forward takes x"), ("nine", "net.py"), ("whole", "net.py")):
        refused(deploy(net, "net.py:Net", "--data", f"{name}.safetensors", "--targets", "onnx"), net, 3, says)


def test_a_toml_file_that_is_wrong(net: Path) -> None:
    for text, code, says in (
        ("[deploy", 3, "torchport.toml"),
        ("deploy = 3", 2, "it takes a table"),
        ('[deploy]\nlimit = "long"', 2, "deploy.limit is 'long'; it takes a whole number or a number"),
        ('[deploy]\ninput = "x:float32[1]"', 2, "it takes a list of texts"),
        ("[deploy]\nsauce = 1", 2, "unknown key 'deploy.sauce'"),
        ("[task]\nname = 3", 2, "task.name is 3"),
    ):
        (net / "torchport.toml").write_text(text)
        refused(deploy(net, "net.py:Net", *ROWS), net, code, says)


def test_torchport_without_a_verb_or_with_an_unknown_one(net: Path) -> None:
    assert within("depoly", cwd=net).code == 2
    assert torchport("predict", cwd=net).code == 2
