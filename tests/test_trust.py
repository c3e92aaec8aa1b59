"""What a stranger's file, or the place, may do to whoever runs torchport: nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from torchport.bundle import writer
from torchport.cli.terminal import plain
from torchport.errors import BadInput, BundleError, OutputError, UnsafeFile
from torchport.feed import own_settings
from torchport.frontend.archive import check_program
from torchport.system import cache, disk
from torchport.tasks.shared import pictures

DATA = Path(__file__).parent / "data"
SOUND, ITEM = DATA / "schema3.tport", DATA / "schema3.input.json"


def ask(
    *words: object, cwd: Path | None = None, tail: str = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = f'"$0" -m torchport "$@" {tail}'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(env or {})},
        check=False,
    )


@pytest.mark.parametrize(("tail", "code"), [(">&-", 0), (">/dev/full", 3), (">&- 2>&-", 0)])
def test_standard_output_that_is_closed_or_full(tail: str, code: int) -> None:
    ran = ask("predict", SOUND, ITEM, tail=tail)
    assert ran.returncode == code and "Traceback" not in ran.stderr, ran.stderr
    assert len(ran.stderr.splitlines()) <= 1


def test_a_working_folder_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"rmdir '{gone}'; '{sys.executable}' -m torchport predict '{SOUND}' '{ITEM}' --json"
    ran = subprocess.run(["bash", "-c", command], cwd=gone, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0 and json.loads(ran.stdout)["results"][0]["ok"], ran.stderr


def test_names_without_end_are_one_line() -> None:
    for words in (["predict", "x" * 5000, ITEM], ["predict", SOUND, "x" * 5000], ["pack", SOUND, "-o", "x" * 5000]):
        ran = ask(*words)
        assert ran.returncode == 3 and len(ran.stderr.strip().splitlines()) == 1, ran.stderr[-300:]


def test_nothing_of_a_stranger_commands_the_terminal() -> None:
    assert plain("\x1b[31mred\r\x07\x9b2J\u202e") == "\\x1b[31mred\\r\\x07\\x9b2J\\u202e"
    assert plain("a\tb\nçiçek 猫 \U0001f468\u200d\U0001f469") == "a\tb\nçiçek 猫 \U0001f468\u200d\U0001f469"
    ran = ask("predict", SOUND, "\x1b[31mred.json")
    assert "\x1b" not in ran.stdout + ran.stderr


HOME = """
import socket
class Blocked(socket.socket):
    def __init__(self, *_, **__):
        raise AssertionError("a socket was opened")
socket.socket = Blocked
import torchport, time
with torchport.load({bundle!r}, variant="onnx-fp32") as net:
    net.predict({item!r})
import openvino, onnxruntime
time.sleep(1.0)
"""


def test_no_runtime_calls_home_or_keeps_a_diary(tmp_path: Path) -> None:
    code = HOME.format(bundle=str(SOUND), item=str(ITEM))
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("ORT_DISABLE_TELEMETRY", "CI", "GITHUB_ACTIONS", "TF_BUILD")
    }
    env |= {
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / ".cache"),
        "TMPDIR": str(tmp_path),
        "TORCHPORT_CACHE": str(tmp_path / "own"),
    }
    command = [sys.executable, "-c", code]
    alone = ["unshare", "-rn", "true"]
    if shutil.which("unshare") and subprocess.run(alone, capture_output=True, check=False).returncode == 0:
        command = [*alone[:-1], *command]  # no network at all
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=120)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and tmp_path / "own" not in path.parents] == []


@pytest.mark.parametrize("suffix", [".onnx", ".json"])
def test_what_is_kept_is_found_only_as_it_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setenv("TORCHPORT_CACHE", str(tmp_path))
    place = cache.entry("kind", "key")
    fresh = place and cache.scratch(place)
    assert place and fresh
    fresh.write_bytes(b"content")
    cache.keep(fresh, place, suffix)
    found = cache.find(place, suffix)
    assert found and found.read_bytes() == b"content"
    found.write_bytes(b"c0ntent")
    assert cache.find(place, suffix) is None and not found.exists()


def test_a_flipped_bit_in_the_cached_model_never_changes_an_answer(tmp_path: Path) -> None:
    env = {"TORCHPORT_CACHE": str(tmp_path)}
    right = ask("predict", SOUND, ITEM, "--variant", "onnx-fp32", "--json", env=env).stdout
    kept = list(tmp_path.rglob("*.onnx"))
    assert right and kept
    for at in (0.3, 0.6, 0.9):
        for path in tmp_path.rglob("*.onnx"):
            data = bytearray(path.read_bytes())
            data[int(at * len(data))] ^= 0x10
            path.write_bytes(data)
        assert ask("predict", SOUND, ITEM, "--variant", "onnx-fp32", "--json", env=env).stdout == right


def document(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "mine")


def half_a_bundle(path: Path) -> None:
    shutil.copytree(SOUND, path)
    (path / "thesis.txt").write_text("mine")


def linked(path: Path) -> None:
    shutil.copytree(SOUND, path.parent / "real.tport")
    path.symlink_to(path.parent / "real.tport")


def zipped_with_more(path: Path) -> None:
    writer.write_zip(SOUND, path, [])
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(SOUND / "torchport.json", "torchport.json")
        archive.writestr("thesis.txt", "mine")


@pytest.mark.parametrize(
    "make",
    [
        document,
        half_a_bundle,
        linked,
        zipped_with_more,
        lambda path: path.write_text("mine"),
        lambda path: path.mkdir(),
    ],
)
def test_nobodys_file_is_replaced(tmp_path: Path, make) -> None:
    make(tmp_path / "out")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="exists and"), writer.staging(tmp_path / "out"):
        pass
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert os.path.lexists(tmp_path / "out")


def test_a_damaged_bundle_of_ours_may_be_replaced(tmp_path: Path) -> None:
    shutil.copytree(SOUND, tmp_path / "out")
    (tmp_path / "out/report.html").unlink()
    with writer.staging(tmp_path / "out"):
        pass


def test_temporary_folders_of_killed_runs_are_swept_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, other = tmp_path / f"{disk.PREFIX}left", tmp_path / "torchport-notes"
    for folder in (left, other):
        folder.mkdir()
    disk._sweep_abandoned.cache_clear()
    with disk.temporary() as mine:
        assert left.exists(), "it is too new to be judged"
        for folder in (left, other, mine):
            os.utime(folder, (time.time() - 2 * disk.FRESH_S,) * 2)
        disk._sweep_abandoned.cache_clear()
        with disk.temporary():
            assert (left.exists(), other.exists(), mine.exists()) == (False, True, True)
    assert not mine.exists()


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9**9",
        "Pow(Integer(9), Pow(Integer(9), Integer(9)))",
        "LShift(1, 10**9)",
        "LShift(Integer(1), Integer(1000000000))",
        "Float('1.5', precision=10000000000)",
        "factorial(9)",
        "1" * 30000,
        "Symbol('s0')**Symbol('s1')",
    ],
)
def test_an_expression_that_grows_without_end_is_refused(text: str) -> None:
    with pytest.raises(UnsafeFile, match="symbolic shape"):
        check_program(json.dumps({"expr_str": text}).encode())


@pytest.mark.parametrize("text", ["16*s39", "Mul(Integer(16), Symbol('s39', positive=True, integer=True))",
                                  "FloorDiv(Add(Symbol('s0'), Integer(-1)), Integer(2))",
                                  "Pow(Symbol('s0'), Integer(2))", "Max(1, Mod(s0, 8))",
                                  "Float('1.5', precision=53)"])  # fmt: skip
def test_an_expression_of_a_shape_is_taken(text: str) -> None:
    check_program(json.dumps({"expr_str": text}).encode())


def test_a_picture_of_thousands_of_scans_is_refused_at_once() -> None:
    whole = io.BytesIO()
    Image.fromarray(np.zeros((1500, 1500, 3), np.uint8)).save(whole, "JPEG", progressive=True)
    raw = whole.getvalue()
    last = raw.rfind(b"\xff\xda")
    assert pictures.decode(raw).shape == (1500, 1500, 3)
    with pytest.raises(BadInput, match="scans"):
        pictures.decode(raw[:last] + raw[last:-2] * 3000 + raw[-2:])


def test_a_bundle_sets_of_a_runtime_only_what_torchport_sets() -> None:
    known = {"session.disable_quant_qdq": ("1",)}
    assert own_settings({"session.disable_quant_qdq": "1"}, known) == {"session.disable_quant_qdq": "1"}
    for given in ({"session.disable_quant_qdq": "2"}, {"CACHE_DIR": "/tmp/x"}):
        with pytest.raises(BundleError, match="never sets"):
            own_settings(given, known)


def test_a_session_description_is_no_video() -> None:
    pytest.importorskip("av")
    from torchport.tasks.shared.video import Clip

    sdp = (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 "
        b"H264/90000\n"
    )
    with pytest.raises(BadInput, match="not a video"):
        list(Clip(sdp))
