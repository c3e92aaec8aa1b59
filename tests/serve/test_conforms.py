"""Our server differs in nothing from the protocol, by our own kit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from served import Served, serving

from torchport.conform import conform

SCHEMA = Path(__file__).parents[2] / "docs/schema/conform.schema.json"


@pytest.mark.parametrize("model", ["simple", "identity", "colours", "colours-raw"])
def test_a_model_differs_in_nothing(server: Served, model: str) -> None:
    found = conform(
        f"http://127.0.0.1:{server.port}", grpc=f"127.0.0.1:{server.grpc_port}", model=model, reload=model == "simple"
    )
    assert [(row.name, row.reason) for row in found.checks if row.verdict == "differs"] == []
    rows = {row.name: row.verdict for row in found.checks}
    asked = {"binary inputs", "binary outputs", "wrong lengths", "path tricks", "stream", "raw tensors", "grpc trace"}
    assert {rows[name] for name in asked} == {"holds"}
    assert found.verdicts["holds"] >= 55


def test_shared_memory_differs_in_nothing(bundles: Path) -> None:
    with serving(bundles / "simple.tport", "--shared-memory") as served:
        found = conform(f"http://127.0.0.1:{served.port}", grpc=f"127.0.0.1:{served.grpc_port}")
    rows = {row.name: row for row in found.checks}
    assert rows["shared memory"].verdict == rows["shared memory refused"].verdict == "holds", rows["shared memory"]
    assert not [row for row in found.checks if row.verdict == "differs"]


def test_the_command_prints_a_table_or_a_document(server: Served) -> None:
    command = [sys.executable, "-m", "torchport", "conform", f"http://127.0.0.1:{server.port}", "--model", "simple"]
    ran = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60)
    told = json.loads(ran.stdout)
    Draft202012Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(told)
    assert ran.returncode == 0 and told["model"] == "simple" and told["verdicts"]["holds"] > 40
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0 and "0 differ" in shown.stdout
