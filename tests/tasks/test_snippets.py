"""The programs that a Bundle's README offers answer like torchport itself, in Python and in JavaScript."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

import torchport
from torchport.targets import targets
from torchport.targets.base import ExportOptions, plain_io
from torchport.tasks import Pipeline, Plan
from torchport.types import Artifact, GraphFile

NODE_MODULES = Path(__file__).parents[2] / "build/node/node_modules"
NODE = bool(shutil.which("node") and (NODE_MODULES / "onnxruntime-node").is_dir() and (NODE_MODULES / "sharp").is_dir())
needs_node = pytest.mark.skipif(
    not NODE,
    reason="needs node, and: npm install --ignore-scripts --prefix build/node onnxruntime-node sharp",
)


class Picky(torch.nn.Module):
    """Six classes of a picture, far enough apart to be told from each other by a rounding."""

    def __init__(self, channels: int, side: tuple[int, int]):
        super().__init__()
        torch.manual_seed(0)
        self.size = (1, channels, *side)
        self.conv, self.head = torch.nn.Conv2d(channels, 8, 5, 4), torch.nn.LazyLinear(6)
        self.head(self.conv(torch.zeros(self.size)).flatten(1))

    def forward(self, image):
        return 4 * self.head(self.conv(image).flatten(1))


class Made:
    """An ONNX variant in a folder that looks like a Bundle, the task's programs, and torchport's own answers.

    Args:
        unread: graphs that no program which runs here reads; they are named, and not made.
    """

    def __init__(
        self,
        folder: Path,
        module: torch.nn.Module,
        data: Path,
        task: str,
        unread: tuple[str, ...] = (),
        **settings: object,
    ):
        self.folder = folder
        assembled = torchport.capture(module.eval(), task=task, data=data, settings=settings)
        self.target = targets.get("onnx")
        self.place = folder / "variants/onnx-fp32"
        self.place.mkdir(parents=True)
        program = assembled.program
        made = {name: graph for name, graph in program.graphs.items() if name not in unread}
        artifact: Artifact = self.target.export(replace(program, graphs=made), self.place, ExportOptions())
        named = {
            name: GraphFile(f"{name}.onnx", (), plain_io(graph.signature))
            for name, graph in program.graphs.items()
            if name in unread
        }
        self.artifact = msgspec.structs.replace(artifact, graphs={**artifact.graphs, **named})
        self.task, self.facts, self.steps, self.graphs = (
            assembled.task,
            assembled.facts,
            assembled.steps,
            assembled.graphs,
        )
        for name, content in self.task.files(self.facts).items():
            (folder / name).write_bytes(content)
        self.programs = self.task.snippets(self.facts, self.graphs["model"], {"onnx-fp32": self.artifact})

    def answer(self, source: Path, *, in_graph: bool = False) -> dict:
        runners = {
            name: self.target.open(self.artifact, self.place, self.graphs[name], name)
            for name, graph in self.artifact.graphs.items()
            if graph.files
        }
        return Pipeline(Plan(self.task, self.facts, self.steps, self.graphs), runners, in_graph).answer(
            source.read_bytes()
        )["result"]

    def run(self, language: str, source: Path) -> str:
        file, command = {
            "python": ("answer.py", [sys.executable, "-W", "error::DeprecationWarning"]),
            "javascript": ("answer.mjs", ["node"]),
        }[language]
        (self.folder / file).write_text(self.programs[language], encoding="utf-8")
        if language == "javascript" and not (self.folder / "node_modules").exists():
            (self.folder / "node_modules").symlink_to(NODE_MODULES)
        done = subprocess.run(
            [*command, file, source], cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth pictures: a JPEG that lies on its side, a transparent PNG, one of a palette, a grey one; small ones and
    wide ones.
    """
    folder = tmp_path_factory.mktemp("pictures")

    def smooth(bands: int, width: int, height: int) -> np.ndarray:
        coarse = np.random.default_rng(width).integers(0, 256, (5, 6, bands), np.uint8)
        return np.stack(
            [
                np.asarray(Image.fromarray(coarse[:, :, i]).resize((width, height), Image.Resampling.BICUBIC))
                for i in range(bands)
            ],
            2,
        )

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(smooth(3, 90, 60)).save(folder / "a-side.jpg", exif=exif, quality=95)
    Image.fromarray(smooth(4, 70, 110)).save(folder / "b-clear.png")
    Image.fromarray(smooth(3, 33, 57)).quantize(64).save(folder / "c-palette.png")
    Image.fromarray(smooth(1, 120, 41)[:, :, 0]).save(folder / "d-grey.png")
    return folder


def labels(text: str) -> list[tuple[int, float, str]]:
    """What a program printed: index, score, label."""
    rows = [line.split(maxsplit=2) for line in text.splitlines()]
    return [(int(row[1]), float(row[0]), row[2] if len(row) > 2 else row[1]) for row in rows]


def alike(got: list[tuple[int, float, str]], wanted: dict, within: float) -> bool:
    expected = [(one["index"], one["score"], one["label"]) for one in wanted["labels"]]
    return [(i, name) for i, _, name in got] == [(i, name) for i, _, name in expected] and np.allclose(
        [s for _, s, _ in got], [s for _, s, _ in expected], atol=within
    )


FACTS = {
    "crop": {
        "resize": 24,
        "crop": 16,
        "mean": "0.5,0.4,0.3",
        "std": "0.2,0.3,0.4",
        "top": 4,
        "labels": ["ant", "red bee", "Käse", "猫", "eel", "fly"],
    },
    "stretch": {
        "resize": "[20,28]",
        "interpolation": "bicubic",
        "mean": 127,
        "std": 128,
        "scale": 255,
        "color": "BGR",
        "activation": "sigmoid",
    },
    "grey": {
        "resize": 24,
        "crop": 21,
        "interpolation": "bicubic",
        "mean": 0.5,
        "std": 0.25,
        "color": "L",
        "activation": "none",
        "top": 3,
    },
    "taps": {"resize": 24, "crop": 16, "antialias": "false", "mean": 0.5, "std": 0.25},
    "gap": {"resize": 12, "crop": 12, "reducing_gap": 2.0, "mean": 0.5, "std": 0.25},
}


@pytest.fixture(scope="module", params=FACTS)
def classifier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Made:
    facts = FACTS[request.param]
    side = (20, 28) if request.param == "stretch" else (facts["crop"],) * 2
    return Made(
        tmp_path_factory.mktemp(request.param),
        Picky(1 if request.param == "grey" else 3, side),
        pictures,
        "image-classification",
        () if NODE or "antialias" in facts else ("preprocess",),  # Python has Pillow for it, where it widens
        **facts,
    )


def test_a_picture_in_python(classifier: Made, pictures: Path) -> None:
    for picture in sorted(pictures.iterdir()):
        assert alike(labels(classifier.run("python", picture)), classifier.answer(picture), 1e-4), picture.name


@needs_node
def test_a_picture_in_javascript(classifier: Made, pictures: Path) -> None:
    if classifier.facts.reducing_gap is not None:
        assert "javascript" not in classifier.programs  # that reduction is Pillow's own
        return
    for picture in sorted(pictures.iterdir())[:2]:
        # A decoder may round another way: a level or two of 255, which the network multiplies.
        assert alike(labels(classifier.run("javascript", picture)), classifier.answer(picture, in_graph=True), 5e-2), (
            picture.name
        )


def test_programs_stay_short(classifier: Made) -> None:
    for program in classifier.programs.values():
        assert len(program.splitlines()) <= 36


def test_programs_switch_off_what_the_runtime_reports_before_it_is_loaded(classifier: Made) -> None:
    for program in classifier.programs.values():
        off, _, loaded = program.partition("ORT_DISABLE_TELEMETRY")
        assert loaded and not re.search(r"^import (onnxruntime|\* as ort)", off, re.MULTILINE)
        assert "onnxruntime" in loaded


class Mixed(torch.nn.Module):
    """Inputs of three kinds, two outputs."""

    def forward(self, x, ids, mask):
        kept = x * mask[:, :, None]
        return {"sums": kept.sum(1), "next": ids + 1}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Path]:
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.standard_normal((4, 3, 2)).astype(np.float32),
        "ids": rng.integers(0, 9, (4, 3)),
        "mask": rng.integers(0, 2, (4, 3)).astype(bool),
    }
    save_file(arrays, folder / "data.safetensors")
    source = folder / "input.json"
    source.write_text(json.dumps({name: array[:2].tolist() for name, array in arrays.items()}))
    return Made(folder, Mixed(), folder / "data.safetensors", "tensor"), source


def test_tensors_in_python(mixed: tuple[Made, Path]) -> None:
    made, source = mixed
    assert json.loads(made.run("python", source)) == made.answer(source)["outputs"]


@needs_node
def test_tensors_in_javascript(mixed: tuple[Made, Path]) -> None:
    made, source = mixed
    got = json.loads(made.run("javascript", source))
    wanted = made.answer(source)["outputs"]
    assert {name: np.reshape(one["data"], one["shape"]).tolist() for name, one in got.items()} == wanted


def test_no_program_where_there_is_no_such_file(mixed: tuple[Made, Path]) -> None:
    made, _ = mixed
    assert made.task.snippets(made.facts, made.graphs["model"], {}) == {}
