"""Keywords of sixty articles of BBC news without their headlines, by MiniLM; right is a word of the headline.

Identical is the same five words in the same order. Eager is transformers' tokenizer and model: the article by itself,
then its words in batches of 64 in their order, each padded to its longest word. What the candidates are is not the
model's doing: plain Python here, and held against torchport's own.
"""

from __future__ import annotations

import csv
import re
import tempfile
from pathlib import Path
from typing import Any

import minilm
import numpy as np
import torch
from row import FEW, Row, passed, speedup

import torchport
from torchport.predict import Predictor
from torchport.tasks.shared.keywords import stop_words

TARGETS = ("executorch", "onnx", "openvino", "torchscript")
TOP = 5
DEPLOYED_ON = 4


def rows(short: bool) -> list[Row]:
    """One row, of precision at five."""
    torch.set_num_threads(1)
    articles = minilm.headlined(minilm.news_split()[1])[: 3 if short else 60]
    raws = [body.encode() for body, _ in articles]
    model = minilm.encoder()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "articles.csv"
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(
                [("text", "label"), *((body, ";".join(words(headline))) for body, headline in articles[:DEPLOYED_ON])]
            )
        settings = {"max_length": minilm.LENGTH, "language": "en", "top": TOP, "pad_to": 1}
        outcome = torchport.deploy(
            str(minilm.folder()),
            f"{folder}/x.tport",
            task="keyword-extraction",
            data=table,
            settings=settings,
            targets=FEW if short else TARGETS,
            recipes=["fp32"],
        )
        with Predictor(f"{folder}/x.tport", threads=1) as predictor:
            answered = [[one["keyword"] for one in predictor.predict(raw)["keywords"]] for raw in raws]
            eager = [plain(model, body) for body, _ in articles]
            few = 1 if short else 12
            ratio = speedup(
                lambda: [plain(model, body) for body, _ in articles[:few]],
                lambda: [predictor.predict(raw) for raw in raws[:few]],
                1 if short else 5,
            )[2]
            notes: dict[str, float | str] = {"variant": predictor.variant.id}
    same = sum(one == other for one, other in zip(eager, answered, strict=True))
    targets = passed(outcome)
    return [
        Row(
            "keyword-extraction",
            "MiniLM",
            "BBC news, 60 articles",
            "precision@5",
            _precision(eager, articles),
            _precision(answered, articles),
            same,
            len(articles),
            ratio,
            targets,
            notes,
        )
    ]


def words(text: str) -> list[str]:
    """The different words of an English text that are no stop words, as they are first written."""
    stop, found = stop_words("en"), dict[str, str]()
    for word in re.findall(r"[^\W\d_][^\W_]*(?:[-'.&][^\W_]+)*", text):
        stem = re.sub("'[sS]$", "", word)
        if len(stem) > 1 and not {word.casefold(), stem.casefold()} & stop:
            found.setdefault(stem.casefold(), stem)
    return list(found.values())


def plain(model: Any, body: str) -> list[str]:
    """The keywords by PyTorch and transformers alone."""
    candidates = words(body)
    near = minilm.embed(model, candidates, 64) @ minilm.embed(model, [body])[0]
    return [candidates[i] for i in np.argsort(-near, kind="stable")[:TOP]]


def _precision(found: list[list[str]], articles: list[tuple[str, str]]) -> float:
    hits = [
        len({word.casefold() for word in five} & {word.casefold() for word in words(headline)}) / TOP
        for five, (_, headline) in zip(found, articles, strict=True)
    ]
    return float(np.mean(hits))
