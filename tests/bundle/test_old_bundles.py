"""Bundles made by earlier versions stay readable: today's code opens, verifies and answers with what was recorded then.

`tests/data/schemaN.tport` was made by the command line of the version that wrote schema N, of a 10-5-2 network, and is never made
anew: where one of these tests fails, the code has to change. `schema1.answers.json` is what `predict` then printed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from torchport.bundle import Bundle, writer
from torchport.predict import Predictor
from torchport.verify import verify

DATA = Path(__file__).parents[1] / "data"
OLD = {"schema1": "d2ca0f398631d1f7abe9f90d563c2412ad1501225e025ac61712a9bbc71f4116"}


def answers(name: str) -> dict[str, object]:
    return json.loads((DATA / f"{name}.answers.json").read_text("utf-8"))["results"][0]["outputs"]


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
            writer.write_zip(place, tmp_path / "one.tport", [*bundle.entries])
        place = tmp_path / "one.tport"
    with Predictor(place) as predictor:
        got = predictor.predict(DATA / f"{name}.input.json")["outputs"]
    for output, wanted in answers(name).items():
        np.testing.assert_allclose(got[output], wanted, atol=1e-6)


@pytest.mark.parametrize("name", OLD)
def test_its_golden_vectors_are_where_the_manifest_says(name: str) -> None:
    with Bundle(DATA / f"{name}.tport") as bundle:
        golden = bundle.manifest.golden[0]
        arrays = load_file(bundle.file(golden.path))
    assert {key.split("/")[0] for key in arrays} == {str(i) for i in range(len(golden.items))}
    assert json.loads(arrays["0/result"].tobytes())["outputs"]["output_0"] == arrays["0/outputs.output_0"].tolist()


@pytest.mark.parametrize("name", OLD)
def test_the_program_in_its_readme_answers_as_it_did(name: str, tmp_path: Path) -> None:
    text = (DATA / f"{name}.tport/README.md").read_text("utf-8")
    (tmp_path / "answer.py").write_text(text.split("```python\n")[1].split("```")[0], encoding="utf-8")
    done = subprocess.run([sys.executable, tmp_path / "answer.py", DATA / f"{name}.input.json"], cwd=DATA / f"{name}.tport", capture_output=True, text=True, check=True)
    for output, wanted in answers(name).items():
        np.testing.assert_allclose(json.loads(done.stdout)[output], wanted, atol=1e-6)
