"""Tiny seeded models of transformers as folders, deployed by `hf:DIR` and opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import torchport
from torchport.predict import Predictor
from torchport.testing.samples import _words

TEXTS = ("goal team match and a guitar", "a new song", "soup with bread, butter and cheese")
PAD, START, END = 0, 2, 3
SIZES = {"vocab_size": len(_words.WORDS), "pad_token_id": PAD, "eos_token_id": END}


def folder_of(make: Callable[[], Any], place: Path) -> Any:
    """The model in eval mode, saved to `place`."""
    torch.manual_seed(0)
    model = make().eval()
    model.save_pretrained(place)
    return model


def texts(place: Path) -> Path:
    """A tokenizer beside a model, and the texts as data."""
    _words.tokenizer(place)
    (place.parent / "texts.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in TEXTS))
    return place.parent / "texts.csv"


def deployed(place: Path, data: Path, task: str, targets: tuple[str, ...] = ("onnx",), **settings: Any) -> Predictor:
    """The Bundle `x.tport` beside a folder, opened; its task is the one that was to be picked, and every target has a
    variant.
    """
    outcome = torchport.deploy(
        f"hf:{place}",
        place.parent / "x.tport",
        data=data,
        settings=settings,
        targets=list(targets),
        recipes=["fp32"],
        keep="all",
    )
    assert {one.id: one.reason for one in outcome.choice.candidates if one.target in targets and not one.parity} == {}
    predictor = Predictor(outcome.bundle, variant="onnx-fp32", threads=1)
    assert predictor.bundle.manifest.task.name == task
    return predictor


def ids_of(place: Path, text: str) -> torch.Tensor:
    from tokenizers import Tokenizer

    return torch.tensor([Tokenizer.from_file(str(place / "tokenizer.json")).encode(text).ids])
