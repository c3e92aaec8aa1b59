"""MiniLM with trained heads on texts that were held back: 890 articles of BBC news, and 1,000 sentences of film
reviews.

Identical is the same class. Eager is transformers' tokenizer and model in batches of 16 in the order of the data, each
padded to its longest text, cut at 128 tokens, which is its fastest size here; deployed is `Predictor.predict_many`.
An article fills the 128 tokens, so that there both sides do the same matrix multiplications, near what a core can do at
all (`of the core's arithmetic`: what the tokens need, over PyTorch's best matrix product in that time); a sentence does
not, and what is saved is padding. See docs/decisions/0010-four-times-eager-on-texts.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import minilm
import numpy as np
import torch
from row import EXACT, FEW, Row, passed, speedup

import torchport
from torchport.predict import Predictor

TARGETS = ("executorch", "onnx", "openvino", "torchscript")
BATCH = 32
VERIFIED = 200
"""Texts that the heads were trained on, which variants are verified on: the figures of the row are of those held back.
"""

NEARLY = {**EXACT, "budget": "agreement>=99.5%"}
"""As the row is held to: of texts that lie between two classes one in 200 may fall to the other."""


def rows(short: bool) -> list[Row]:
    """A row for each of the two heads; with `short`, for the first."""
    torch.set_num_threads(1)
    many = 24 if short else None
    trained, items = minilm.news_split()
    news = _row("news", "BBC news, 890 articles", minilm.TOPICS, trained[:many], items[:many], short)
    return (
        [news]
        if short
        else [news, _row("reviews", "film reviews, 1,000 sentences", minilm.OPINIONS, *minilm.reviews_split(), short)]
    )


def _row(
    head: str,
    data: str,
    labels: Sequence[str],
    trained: list[minilm.Labelled],
    items: list[minilm.Labelled],
    short: bool,
) -> Row:
    texts, right = [text for text, _ in items], np.array([label for _, label in items])
    raws: list[Any] = [text.encode() for text in texts]
    model = getattr(minilm, head)()
    with tempfile.TemporaryDirectory() as folder:
        table = minilm.table(trained[:VERIFIED], labels, Path(folder) / "items.csv")
        settings = {"tokenizer": str(minilm.folder()), "labels": list(labels), "max_length": minilm.LENGTH, "pad_to": 1}
        outcome = torchport.deploy(
            f"{minilm.__file__}:{head}",
            f"{folder}/x.tport",
            task="text-classification",
            data=table,
            settings=settings,
            targets=FEW if short else TARGETS,
            **NEARLY,
        )
        with Predictor(f"{folder}/x.tport", threads=1) as predictor:
            results = [result for result, _ in predictor.predict_many(raws, BATCH)]
            answered = [result["labels"][0]["index"] if result else -1 for result in results]
            eager = minilm.classify(model, texts).argmax(1)
            some = slice(0, 24 if short else 320)
            slow, fast, ratio = speedup(
                lambda: minilm.classify(model, texts[some]),
                lambda: list(predictor.predict_many(raws[some], BATCH)),
                1 if short else 5,
            )
            timed = len(texts[some])
            notes: dict[str, float | str] = {
                "variant": predictor.variant.id,
                "eager texts/s": timed / slow,
                "deployed texts/s": timed / fast,
            }
            notes["of the core's arithmetic"] = _arithmetic(model, texts[some]) / fast / _core()
            if not short:
                few, raw_few = texts[:64], raws[:64]
                notes["one text at a time"] = speedup(
                    lambda: minilm.classify(model, few, 1), lambda: [predictor.predict(raw) for raw in raw_few], 3
                )[2]
                notes["over eager one at a time"] = speedup(
                    lambda: minilm.classify(model, few, 1), lambda: list(predictor.predict_many(raw_few, BATCH)), 3
                )[2]
    name = f"MiniLM + linear head ({head})"
    return Row(
        *("text-classification", name, data, "top-1"),
        float((eager == right).mean()),
        float((np.array(answered) == right).mean()),
        int((eager == np.array(answered)).sum()),
        len(texts),
        ratio,
        passed(outcome),
        notes,
    )


def _arithmetic(model: minilm.Classifier, texts: Sequence[str]) -> float:
    """Floating-point operations that the texts' own tokens need: a multiplication with every weight, and attention
    among them; no padding.
    """
    layers: Any = model.encoder.encoder
    weights = sum(weight.numel() for weight in layers.parameters() if weight.dim() == 2)
    width, depth = model.encoder.config.hidden_size, model.encoder.config.num_hidden_layers
    lengths = [int(feed["attention_mask"].sum()) for feed in minilm.feeds(texts, 1)]
    return float(sum(2 * weights * length + 4 * depth * width * length**2 for length in lengths))


def _core() -> float:
    """Floating-point operations a second of PyTorch's own matrix multiplication of the model's size, on one core: the
    best of twenty.
    """
    a, b = torch.rand(2048, 384), torch.rand(384, 1536)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * 2048 * 384 * 1536 / min(times)
