"""Small models as Bundles, and a server as a process of its own, as a user starts it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import torchport

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv-clients" / "bin" / "python"


class Simple(torch.nn.Module):
    """The model that the public tests of clients ask for."""

    def forward(self, INPUT0: torch.Tensor, INPUT1: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"OUTPUT0": INPUT0 + INPUT1, "OUTPUT1": INPUT0 - INPUT1}


class Colours(torch.nn.Module):
    """Says which of three colours a picture has most of."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return 10 * pixels.mean((2, 3))


class Identity(torch.nn.Module):
    """One tensor of each kind that PyTorch and numpy share, as it came."""

    def forward(self, fp32: torch.Tensor, int64: torch.Tensor, uint8: torch.Tensor, flag: torch.Tensor) -> Any:
        return {"o_fp32": fp32 * 1, "o_int64": int64 * 1, "o_uint8": uint8 * 1, "o_flag": ~flag}


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> bytes:
    """A PNG of one colour."""
    import io

    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def deployed(folder: Path) -> Path:
    """The folder, with these Bundles in it."""
    shared: Mapping[str, Any] = {"targets": ["onnx"], "quick": True, "golden": 2}
    torchport.deploy(
        Simple(), folder / "simple.tport", inputs=["INPUT0:int32[batch,16]", "INPUT1:int32[batch,16]"], **shared
    )
    torchport.deploy(
        Identity(),
        folder / "identity.tport",
        inputs=["fp32:float32[batch,n]", "int64:int64[batch,n]", "uint8:uint8[batch,n]", "flag:bool[batch,n]"],
        **shared,
    )
    photos = folder / "photos"
    for name, colour in {"red": (250, 10, 10), "green": (10, 240, 10), "blue": (10, 10, 250)}.items():
        (photos / name).mkdir(parents=True)
        (photos / name / "1.png").write_bytes(picture(colour))
    torchport.deploy(
        Colours(),
        folder / "colours.tport",
        task="image-classification",
        data=photos,
        settings={"labels": "red,green,blue", "resize": "16", "crop": "16", "mean": "0,0,0", "std": "1,1,1"},
        **shared,
    )
    return folder


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    port: int
    grpc_port: int
    log: Path

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, and body of one request."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            line.request(method, path, body, dict(headers or {}))
            answer = line.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            line.close()

    def json(self, method: str, path: str, document: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and document of one request."""
        body = None if document is None else json.dumps(document)
        status, _, answer = self.ask(method, path, body, headers)
        return status, json.loads(answer)

    def infer(self, model: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of a model, by JSON."""
        names = {"float32": "FP32", "int32": "INT32", "int64": "INT64", "uint8": "UINT8", "bool": "BOOL"}
        tensors = [
            {"name": name, "shape": array.shape, "datatype": names[array.dtype.name], "data": array.ravel().tolist()}
            for name, array in inputs.items()
        ]
        status, document = self.json("POST", f"/v2/models/{model}/infer", {"inputs": tensors})
        assert status == 200, document
        dtypes = {datatype: dtype for dtype, datatype in names.items()}
        return {
            one["name"]: np.array(one["data"], dtypes[one["datatype"]]).reshape(one["shape"])
            for one in document["outputs"]
        }


@contextlib.contextmanager
def serving(*words: str | Path, ready: bool = True, **environment: str) -> Iterator[Served]:
    """`torchport serve` with these words; ended by SIGTERM, which has to end it well."""
    port, grpc_port = free_port(), free_port()
    command = [sys.executable, "-m", "torchport", "serve", *map(str, words)]
    log = Path(os.environ["TORCHPORT_CACHE"]) / f"serve-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--grpc-port", str(grpc_port)],
            stdout=file,
            stderr=file,
            env={**os.environ, **environment},
        )
    served = Served(process, port, grpc_port, log)
    try:
        until = time.monotonic() + 60
        while ready and time.monotonic() < until:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError):
                if served.ask("GET", "/v2/health/ready")[0] == 200:
                    break
            time.sleep(0.02)
        yield served
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
