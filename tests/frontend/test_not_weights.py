"""What else is handed over as weights: refused in a line that says what it is and what to do; and weights handed over
as a model.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loops import HYPER, Net, State, holds, opened, optimizer, trained, under
from safetensors.torch import save_file

from torchport.errors import BadInput, TorchportError, UnsafeFile
from torchport.frontend import open_source

# What is no such file.


def test_a_pickled_model_is_refused_with_the_lines_that_save_its_weights(tmp_path: Path) -> None:
    for thing, place in (
        (Net(), "model.float()"),
        ({"epoch": 3, "model": None, "ema": Net(), "train_args": HYPER}, 'model["ema"].float()'),
    ):
        path = tmp_path / "best.pt"
        torch.save(thing, path)
        with pytest.raises(
            UnsafeFile,
            match=r"best.pt holds a whole pickled model \(.*Net\), which runs code when it is opened; refused, never "
            r"executed",
        ) as caught:
            opened(path)
        assert (
            len(caught.value.lines) == 3 and place in caught.value.lines[2] and caught.value.lines[0] == "import torch"
        )
        scope: dict[str, Any] = {}
        code = (
            "\n".join(caught.value.lines)
            .replace('"best.pt"', repr(str(path)))
            .replace('"best_weights.pt"', repr(str(tmp_path / "best_weights.pt")))
        )
        exec(code, scope)  # what a user pastes
        assert opened(tmp_path / "best_weights.pt").module is not None
        with pytest.raises(UnsafeFile, match="whole pickled model"):
            open_source(str(path))


def test_a_pickled_model_beside_the_weights_is_left_out(tmp_path: Path) -> None:
    state = trained()
    torch.save({"model": state, "ema": Net()}, tmp_path / "w.pt")
    source = opened(tmp_path / "w.pt")
    holds(source, state)
    assert any("'ema' is a whole pickled model and is left out, never run" in note for note in source.notes)


def written(path: Path, name: str) -> Path:
    state = trained()
    torch.save(state, path / "good.pt")
    good, there = (path / "good.pt").read_bytes(), path / "w.pt"
    if name == "scripted":
        torch.jit.save(torch.jit.script(Net()), there)
    elif name == "exported":
        torch.export.save(torch.export.export(Net().eval(), (torch.zeros(2, 10),)), there)
    elif name == "archive of others":
        np.savez(path / "w.npz", a=np.ones(3))
        there = path / "w.npz"
    elif name in OBJECTS:
        torch.save(OBJECTS[name](), there)
    else:
        there.write_bytes(RAW[name](good))
    return there


OBJECTS: dict[str, Callable[[], Any]] = {
    "optimizer": optimizer,
    "no tensors": lambda: {"epoch": 3, "loss": 0.5},
    "nothing": dict,
    "one tensor": lambda: torch.ones(3),
    "adapter": lambda: {
        "base_model.model.body.0.lora_A.weight": torch.ones(2, 10),
        "base_model.model.body.0.lora_B.weight": torch.ones(16, 2),
    },
    "shards": lambda: {"flat_param": torch.ones(50)},
    "another model": lambda: torch.nn.LSTM(4, 4).state_dict(),
}
RAW: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "cut": lambda good: good[: len(good) // 2],
    "cut early": lambda good: good[:40],
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "web page": lambda good: b"<!DOCTYPE html><html>not found</html>",
    "pointer": lambda good: b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n",
    "text": lambda good: b"learning rate 0.1\n",
    "picture": lambda good: b"\x89PNG\r\n\x1a\n" + bytes(50),
    "gguf": lambda good: b"GGUF" + bytes(60),
    "zeros": lambda good: bytes(1000),
}
SAYS = {
    "scripted": "is TorchScript, a whole model and no weights; give it as the source",
    "exported": "is a program of torch.export, a whole model",
    "archive of others": "is an archive (zip) that torch.save did not write",
    "optimizer": "holds the state of an optimizer, not the weights of a model",
    "no tensors": "holds no tensors by name, only epoch, loss",
    "nothing": "holds no tensors by name",
    "one tensor": "holds no tensors by name",
    "adapter": "an adapter (LoRA): merge it",
    "shards": "put it together first",
    "another model": "build the model these weights come from",
    "empty": "is empty",
    "cut": "is damaged, truncated",
    "cut early": "is damaged, truncated",
    "gzip": "is compressed (gzip)",
    "bzip2": "is compressed (bzip2)",
    "web page": "is a web page",
    "pointer": "is a pointer of Git LFS",
    "text": "is damaged, truncated, or not what its name says",
    "picture": "is a picture",
    "gguf": "is GGUF",
    "zeros": "is damaged, truncated",
}


@pytest.mark.parametrize("name", SAYS)
def test_another_file_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(TorchportError) as caught:
        opened(written(tmp_path, name))
    said = str(caught.value)
    assert SAYS[name] in said and caught.value.hint and "\n" not in said and len(said) < 400


@pytest.mark.parametrize(
    ("file", "says"),
    [(".metadata", "dcp_to_torch"), ("zero_to_fp32.py", "zero_to_fp32.py"), ("readme.txt", "is a folder without")],
)
def test_a_folder_of_parts_says_how_to_put_them_together(tmp_path: Path, file: str, says: str) -> None:
    (tmp_path / file).write_text("")
    with pytest.raises(BadInput, match=says):
        opened(tmp_path)


# A file of weights given as the model.


def resnet() -> State:
    """Names and shapes of a ResNet-18 of torchvision for 7 classes, made by hand."""
    state = {"conv1.weight": torch.ones(64, 3, 7, 7), "fc.weight": torch.ones(7, 512), "fc.bias": torch.ones(7)}
    return state | {
        f"layer{stage}.{block}.conv{n}.weight": torch.ones(2)
        for stage in range(1, 5)
        for block in range(2)
        for n in (1, 2)
    }


def test_a_file_of_weights_given_as_the_model_says_what_it_holds_and_what_to_type(tmp_path: Path) -> None:
    path = tmp_path / "best.pth"
    torch.save(
        {
            "state_dict": under("module.", resnet()),
            "state_dict_ema": resnet(),
            "optimizer": optimizer(),
            "epoch": 3,
            "args": argparse.Namespace(a=1),
        },
        path,
    )
    with pytest.raises(BadInput, match=r"'best.pth' is weights; they do not say how the model computes") as caught:
        open_source(str(path))
    assert caught.value.hint.endswith(
        "torchport deploy torchvision.models:resnet18 --arg num_classes=7 --weights 'best.pth#state_dict_ema'"
    )
    said = "\n".join(caught.value.lines)
    for words in (
        "state_dict: 19 tensors, ",
        "numbers of float32: module.conv1.weight",
        "beside them: optimizer, epoch, args",
        "never run: argparse.Namespace",
        "a ResNet of torchvision",
    ):
        assert words in said
    save_file(
        {f"model.layers.{i}.self_attn.q_proj.weight": torch.ones(2) for i in range(2)}, tmp_path / "m.safetensors"
    )
    with pytest.raises(BadInput, match=r"file\.py:Name --weights m\.safetensors") as caught:
        open_source(str(tmp_path / "m.safetensors"))
    assert "Llama" in "\n".join(caught.value.lines)
