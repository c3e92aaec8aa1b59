"""Manifests for containers and clusters: they start the command line as it is, and grant as little as they can."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from served import CLIENTS

from torchport.cli import app

PACKAGING = Path(__file__).parents[2] / "packaging"
DOCUMENTS = [
    (path.name, document)
    for path in sorted(PACKAGING.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every container that a document describes."""
    spec = document.get("spec", {})
    spec = spec.get("template", {}).get("spec", spec)
    return [*spec.get("containers", ()), *document.get("services", {}).values()]


@pytest.mark.parametrize(("name", "document"), DOCUMENTS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(DOCUMENTS)])
def test_what_is_started_are_options_of_serve(name: str, document: dict[str, Any]) -> None:
    command = typer.main.get_command(app("serve")).commands["serve"]  # type: ignore[attr-defined]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    for one in containers(document):
        words = one.get("args") or one.get("command")
        assert words[0] == "/mnt/models"
        assert [word for word in words if word.startswith("--") and word not in known] == [], name


def test_a_container_may_write_nothing_but_its_scratch_and_is_nobody() -> None:
    found = [one for _, document in DOCUMENTS for one in containers(document)]
    assert len(found) == 3
    for one in found:
        secure = one.get("securityContext", {"readOnlyRootFilesystem": one.get("read_only")})
        assert secure["readOnlyRootFilesystem"] is True
        assert secure.get("capabilities", {"drop": one.get("cap_drop")})["drop"] == ["ALL"]
    text = (PACKAGING / "Dockerfile").read_text(encoding="utf-8")
    assert "USER 65532:65532" in text and "TORCHPORT_HOST=0.0.0.0" in text


def test_kserve_finds_a_runtime_for_models_of_pytorch() -> None:
    runtime = next(document for _, document in DOCUMENTS if document.get("kind") == "ClusterServingRuntime")
    formats = {one["name"]: one for one in runtime["spec"]["supportedModelFormats"]}
    assert set(formats) == {"torchport", "pytorch", "onnx", "openvino"} and formats["pytorch"]["autoSelect"]
    assert runtime["spec"]["protocolVersions"] == ["v2", "grpc-v2"]


@pytest.mark.skipif(not CLIENTS.exists(), reason="needs the clients' environment: make .venv-clients/.stamp")
def test_kubernetes_takes_the_manifests() -> None:
    checker = CLIENTS.with_name("kubernetes-validate")  # it holds the schemas, and asks nobody
    ran = subprocess.run(
        [checker, "--strict", PACKAGING / "kubernetes.yaml"], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
