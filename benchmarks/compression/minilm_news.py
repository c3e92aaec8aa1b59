"""MiniLM with its head on BBC news: chosen on 300 articles that the head was trained on, tested on 890 that were held
back.

The 1,035 others that it was trained on calibrate; their labels are not told.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import minilm
import numpy as np
from points import Deployed, beside_rivals, deploy, on_test_split
from rivals import Contest, Feed
from row import Row
from tokenizers import Tokenizer

SELECT = 300
RECIPES = ("fp32", "bf16", "int8_static", "int8_static+bf16", "int8_dynamic", "int8_weights", "int4_weights")


def rows(short: bool) -> list[Row]:
    """`fast` and `small`."""
    train, test = minilm.news_split()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = deployed(folder, short)
        found = on_test_split("minilm", made, ("small",) if short else ("fast", "small"))
        if not short:
            beside_rivals(found, made, _contest(train[SELECT:], test), folder / "rivals")
        return found


def deployed(folder: Path, short: bool) -> Deployed:
    """The deploy, its data and its Bundle in that folder."""
    train, test = minilm.news_split()
    many, tested = (40, 40) if short else (SELECT, len(test))
    return deploy(
        f"{minilm.__file__}:news",
        folder,
        task="text-classification",
        settings={
            "tokenizer": str(minilm.folder()),
            "labels": list(minilm.TOPICS),
            "max_length": minilm.LENGTH,
            "pad_to": 1,
        },
        data=minilm.table(train[:many], minilm.TOPICS, folder / "selection.csv"),
        test=minilm.table(test[:tested], minilm.TOPICS, folder / "test.csv"),
        calibration=_unlabelled(train[many : many + 20 if short else None], folder / "calibration.csv"),
        targets=("onnx", "openvino"),
        recipes=("fp32", "int8_weights") if short else RECIPES,
        budget="accuracy<=1pt",
    )


def _contest(learn: Sequence[minilm.Labelled], test: Sequence[minilm.Labelled]) -> Contest:
    cutter = Tokenizer.from_file(str(minilm.folder() / "tokenizer.json"))
    cutter.enable_truncation(minilm.LENGTH)
    cutter.no_padding()

    def feed(raw: bytes) -> Feed:
        cut = cutter.encode(raw.decode())
        return {"input_ids": np.array([cut.ids]), "attention_mask": np.array([cut.attention_mask])}

    dims = {name: {0: "batch", 1: "length"} for name in ("input_ids", "attention_mask")}
    return Contest(
        minilm.news(),
        feed,
        [text.encode() for text, _ in test],
        [label for _, label in test],
        [text.encode() for text, _ in learn],
        dims,
    )


def _unlabelled(labelled: Sequence[minilm.Labelled], path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text, _ in labelled)])
    return path
