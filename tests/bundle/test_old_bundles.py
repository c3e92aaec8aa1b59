"""Bundles made by earlier versions stay readable: today's code opens, verifies and answers with what was recorded then.

`tests/data/schemaN.tport` follows schema N and is never made anew: where one of these tests fails, the code has to
change. `schemaN.answers.json` is what `predict` printed when it was made. Schema 1 and schema 3 hold a 10-5-2 network
and were written by the command line of their time, schema 3 with coded files. Schema 2 holds a text classifier with a
tokenizer as an asset; no release that wrote it is left, so that it is a schema 3 Bundle whose manifest was written
again as docs/bundle.md describes schema 2. Schema 4 holds such a classifier too, whose file takes three lengths only.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from torchport.bundle import Bundle, writer
from torchport.predict import Predictor
from torchport.verification import verify

DATA = Path(__file__).parents[1] / "data"
OLD = {
    "schema1": "d2ca0f398631d1f7abe9f90d563c2412ad1501225e025ac61712a9bbc71f4116",
    "schema2": "df6602100946a9b27ee600ccbd3ba5059917b0ddd0e1b5092cdd2e6dd1301357",
    "schema3": "3e1f14eff5c979e64ef081744af16032bdcfcf0a2060dd019fcb87ff4294644a",
    "schema4": "b3f13161ff641fc7d3c93f6c9861925b1a55d1e698a173c48f24e59b49311754",
}
WITH_PROGRAM = [
    name for name in OLD if "```python" in (DATA / f"{name}.tport/README.md").read_text("utf-8") and name != "schema3"
]
"""Bundles whose README holds the chain as a program that reads their files: not of coded files."""


def given(name: str) -> Path:
    return next(DATA.glob(f"{name}.input.*"))


def answers(name: str) -> dict[str, Any]:
    row = json.loads((DATA / f"{name}.answers.json").read_text("utf-8"))["results"][0]
    return {key: value for key, value in row.items() if key not in ("input", "ok", "error")}


def assert_same(got: Any, wanted: Any) -> None:
    """Equal, numbers to 1e-6."""
    if isinstance(wanted, dict):
        assert got.keys() == wanted.keys()
        for key in wanted:
            assert_same(got[key], wanted[key])
    elif isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, str):
        assert got == wanted
    else:
        np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize(("name", "digest"), OLD.items())
def test_it_is_the_one_that_was_made_then(name: str, digest: str) -> None:
    assert hashlib.sha256((DATA / f"{name}.tport/torchport.json").read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("name", OLD)
def test_it_opens_and_verifies(name: str) -> None:
    with Bundle(DATA / f"{name}.tport") as bundle:
        assert f"schema{bundle.manifest.schema}" == name
        verdict = verify(bundle)
    assert verdict.ok
    assert [row.status for row in verdict.variants] == ["ok"]
    assert verdict.variants[0].max_rel is not None and verdict.variants[0].max_rel < 1e-5


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", OLD)
def test_it_answers_as_it_did(name: str, packed: bool, tmp_path: Path) -> None:
    place = DATA / f"{name}.tport"
    if packed:
        with Bundle(place) as bundle:
            writer.write_zip(place, tmp_path / "one.tport", [entry.path for entry in bundle.manifest.files])
        place = tmp_path / "one.tport"
    with Predictor(place) as predictor:
        assert_same(predictor.predict(given(name)), answers(name))


@pytest.mark.parametrize("name", OLD)
def test_it_can_be_inspected_and_packed_and_answers_as_it_did(name: str, tmp_path: Path) -> None:
    torchport = [sys.executable, "-m", "torchport"]
    subprocess.run([*torchport, "inspect", DATA / f"{name}.tport", "--json"], capture_output=True, check=True)
    subprocess.run(
        [*torchport, "pack", DATA / f"{name}.tport", "--zip", "-o", tmp_path / "new.tport"],
        capture_output=True,
        check=True,
    )
    with Predictor(tmp_path / "new.tport") as predictor:
        assert_same(predictor.predict(given(name)), answers(name))


@pytest.mark.parametrize("name", OLD)
def test_its_golden_vectors_are_where_the_manifest_says(name: str) -> None:
    with Bundle(DATA / f"{name}.tport") as bundle:
        golden = bundle.manifest.golden[0]
        arrays = load_file(bundle.file(golden.path))
    assert {key.split("/")[0] for key in arrays} == {str(i) for i in range(len(golden.items))}
    result = json.loads(arrays["0/result"].tobytes())
    if "outputs" in result:
        assert result["outputs"]["output_0"] == arrays["0/outputs.output_0"].tolist()
    else:
        assert result["labels"][0]["index"] == int(arrays["0/scores"].argmax())


@pytest.mark.parametrize("name", WITH_PROGRAM)
def test_the_program_in_its_readme_answers_as_it_did(name: str, tmp_path: Path) -> None:
    text = (DATA / f"{name}.tport/README.md").read_text("utf-8")
    (tmp_path / "answer.py").write_text(text.split("```python\n")[1].split("```")[0], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, tmp_path / "answer.py", given(name)],
        cwd=DATA / f"{name}.tport",
        capture_output=True,
        text=True,
        check=True,
    )
    assert_same(json.loads(done.stdout), answers(name)["outputs"])
