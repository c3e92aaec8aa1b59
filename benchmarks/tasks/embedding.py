"""Articles of BBC news sorted by topic without training (zero-shot): nearest is the topic whose sentence MiniLM puts
nearest to the article.

Identical is the same topic, with a vector within 1e-4 of eager's. Eager is transformers' tokenizer and model in batches
of 16 in the order of the data; deployed is `Predictor.predict_many`. An article fills the 128 tokens: see
docs/decisions/0010-four-times-eager-on-texts.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import minilm
import numpy as np
import torch
from row import FEW, Row, passed, speedup

import torchport
from torchport.predict import Predictor

TARGETS = ("executorch", "onnx", "openvino", "torchscript")
BATCH = 32
DEPLOYED_ON = 20
TIMED = 160
NEAR = 1e-4
"""Most that a number of a vector may differ from eager's."""


def rows(short: bool) -> list[Row]:
    """One row, of the share of articles whose topic is found."""
    torch.set_num_threads(1)
    articles = minilm.news_split()[1][: 24 if short else 300]
    texts, right = [text for text, _ in articles], np.array([label for _, label in articles])
    raws: list[bytes | str] = [text.encode() for text in texts]
    asked = [f"This text is about {topic}." for topic in minilm.TOPICS]
    model = minilm.encoder()
    with tempfile.TemporaryDirectory() as folder:
        table = minilm.table(articles[:DEPLOYED_ON], minilm.TOPICS, Path(folder) / "articles.csv")
        settings = {"max_length": minilm.LENGTH, "pad_to": 1}
        outcome = torchport.deploy(
            str(minilm.folder()),
            f"{folder}/x.tport",
            task="embedding",
            data=table,
            settings=settings,
            targets=FEW if short else TARGETS,
            recipes=["fp32"],
        )
        with Predictor(f"{folder}/x.tport", threads=1) as predictor:

            def deployed(some: list[bytes | str]) -> np.ndarray:
                return np.array(
                    [result["embedding"] for result, _ in predictor.predict_many(some, BATCH) if result], np.float32
                )

            topics = minilm.embed(model, asked), deployed([text.encode() for text in asked])
            vectors = minilm.embed(model, texts), deployed(raws)
            some = slice(0, 24 if short else TIMED)
            ratio = speedup(lambda: minilm.embed(model, texts[some]), lambda: deployed(raws[some]), 1 if short else 5)[
                2
            ]
            notes: dict[str, float | str] = {
                "variant": predictor.variant.id,
                "largest difference": float(abs(vectors[0] - vectors[1]).max()),
            }
    before, after = ((mine @ of.T).argmax(1) for mine, of in zip(vectors, topics, strict=True))
    same = (before == after) & (abs(vectors[0] - vectors[1]).max(1) <= NEAR)
    scores = [float((found == right).mean()) for found in (before, after)]
    return [
        Row(
            "embedding",
            "MiniLM",
            f"BBC news, {len(texts)} articles, zero-shot",
            "top-1",
            *scores,
            int(same.sum()),
            len(texts),
            ratio,
            passed(outcome),
            notes,
        )
    ]
