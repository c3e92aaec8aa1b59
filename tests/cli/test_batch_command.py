"""`torchport batch` as typed: every input has exactly one row, however often and wherever a run was stopped."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Ran, start, within
from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).parents[2] / "docs/schema/batch.schema.json"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def many(deployed: Ran, place: Path, tmp_path: Path) -> Path:
    """A folder with `net.tport` and forty inputs in `in`, of which number 7 is bad."""
    shutil.copytree(place / "net.tport", tmp_path / "net.tport")
    (tmp_path / "in").mkdir()
    for number in range(40):
        np.save(tmp_path / f"in/{number:04}.npy", np.full((1, 10), number, np.float32))
    (tmp_path / "in/0007.npy").write_bytes(b"no array")
    return tmp_path


def test_each_input_is_a_row_that_predict_would_print(many: Path) -> None:
    ran = within("batch", "net.tport", "in", "-o", "out.jsonl", cwd=many)
    assert ran.code == 3 and "1 of 40 inputs could not be answered" in ran.err
    assert (ran.out["inputs"], ran.out["failed"], ran.out["skipped"]) == (40, 1, 0)
    Draft202012Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(ran.out)
    found = rows(many / "out.jsonl")
    assert [row["input"] for row in found] == [f"in/{number:04}.npy" for number in range(40)]
    assert [row["ok"] for row in found] == [number != 7 for number in range(40)] and found[7]["error"]
    alone = within("predict", "net.tport", "in/0012.npy", cwd=many).out["results"][0]
    assert found[12].keys() == alone.keys()
    left, right = (next(iter(one["outputs"].values())) for one in (found[12], alone))
    np.testing.assert_allclose(left, right, rtol=1e-5)


def test_a_run_goes_on_from_wherever_it_was_cut(many: Path) -> None:
    within("batch", "net.tport", "in", "-o", "out.jsonl", cwd=many)
    whole = (many / "out.jsonl").read_bytes()
    for end in (0, 1, len(whole) - 1, *random.Random(0).sample(range(len(whole)), 8)):
        (many / "out.jsonl").write_bytes(whole[:end])
        ran = within("batch", "net.tport", "in", "-o", "out.jsonl", "--resume", cwd=many)
        assert ran.out["skipped"] == whole[:end].count(b"\n") and ran.out["failed"] == 1
        assert [row["input"] for row in rows(many / "out.jsonl")] == [row["input"] for row in _lines(whole)]


def _lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def test_a_killed_run_and_an_interrupted_one_lose_no_row(many: Path) -> None:
    (many / "names.txt").write_text("in\n" + "".join(f"in/{k % 40:04}.npy\n" for k in range(1600)))
    words = ["batch", "net.tport", "--list", "names.txt", "-o", "out.jsonl", "--batch", "1", "--resume"]
    for sent, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        before = (many / "out.jsonl").stat().st_size if (many / "out.jsonl").exists() else 0
        run = subprocess.Popen([*start(timed=True), *words], cwd=many, stderr=subprocess.PIPE, text=True)
        while not (many / "out.jsonl").exists() or (many / "out.jsonl").stat().st_size <= before:
            assert run.poll() is None
            time.sleep(0.001)
        os.kill(run.pid, sent)
        _, said = run.communicate(timeout=60)
        assert run.returncode == code, said
        assert len(_lines((many / "out.jsonl").read_bytes().rpartition(b"\n")[0])) < 1640
    assert "interrupted; out.jsonl keeps the rows" in said and "--resume" in said
    ran = within(*words, cwd=many)
    assert ran.out["inputs"] == 1640 and ran.out["skipped"] > 0
    counted = [row["input"] for row in rows(many / "out.jsonl")]
    assert len(counted) == 1640 and set(map(counted.count, set(counted))) == {41}


def test_what_is_another_run_is_refused(many: Path) -> None:
    words = ("batch", "net.tport", "in", "-o", "out.jsonl")
    within(*words, cwd=many)
    before = (many / "out.jsonl").read_bytes()

    def refused(*more: str, said: str, args: tuple[str, ...] = words) -> None:
        ran = within(*args, *more, cwd=many)
        assert ran.code in (2, 3) and said in ran.err, ran.err
        assert (many / "out.jsonl").read_bytes() == before

    refused(said="out.jsonl exists")
    refused("--resume", "--variant", "torchscript-fp32", said="variant")
    refused("--resume", args=("batch", "net.tport", "in/0003.npy", "-o", "out.jsonl"), said="none of the inputs")
    refused(args=("batch", "net.tport", "in", "-o", "out.csv"), said="neither .jsonl nor .parquet")
    refused(args=("batch", "net.tport", "-o", "new.jsonl"), said="there is no INPUT")
    (many / "out.jsonl.state").write_text('{"bundle": "another", "variant": "onnx-fp32"}')
    refused("--resume", said="another Bundle")
    (many / "out.jsonl.state").unlink()
    refused("--resume", said="was not begun by")


def test_a_parquet_file_has_the_same_rows(many: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
    ran = within("batch", "net.tport", "in", "-o", "out.parquet", cwd=many)
    within("batch", "net.tport", "in", "-o", "out.jsonl", cwd=many)
    assert ran.code == 3 and sorted(path.name for path in many.glob("*out.parquet*")) == ["out.parquet"]
    found = parquet.read_table(many / "out.parquet").to_pylist()
    assert [(row["input"], row["ok"]) for row in found] == [
        (row["input"], row["ok"]) for row in rows(many / "out.jsonl")
    ]
    assert found[3]["outputs"] == rows(many / "out.jsonl")[3]["outputs"]


def test_without_pyarrow_a_parquet_file_is_refused_before_anything_is_answered(many: Path) -> None:
    from importlib.util import find_spec

    if find_spec("pyarrow"):
        pytest.skip("pyarrow is installed")
    ran = within("batch", "net.tport", "in", "-o", "out.parquet", cwd=many)
    assert ran.code == 6 and "pip install pyarrow" in ran.err
