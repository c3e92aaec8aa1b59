"""The GPT-2 layout of 1.3 M parameters on BBC news: chosen by the perplexity of 40 texts, tested by that of 150 unseen
articles.

Perplexity is of the first 100 tokens of each article, of the logits that a variant gives token by token with its cache;
the interval is that of paired bootstrap resampling over articles. Agreement is that of the continuations of the texts
that chose.
"""

from __future__ import annotations

import csv
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gpt2_bbc
from points import Deployed, deploy, over_test_set
from row import Row
from tokenizers import Tokenizer

from torchport.predict import Predictor
from torchport.tasks.text_generation import surprise
from torchport.types import Candidate

SCORED, CHOSEN_ON = 100, 40
RECIPES = ("fp32", "int8_weights", "int8_dynamic", "int4_weights")


def rows(short: bool) -> list[Row]:
    """`int8`: the smallest of 8 bits; `int4` where a target has it."""
    tokens = Tokenizer.from_file(str(gpt2_bbc.folder() / "tokenizer.json"))
    unseen = gpt2_bbc.articles()[1]
    articles = [
        ids
        for text in unseen[CHOSEN_ON : CHOSEN_ON + (5 if short else 150)]
        if len(ids := tokens.encode(text).ids[:SCORED]) > 1
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = deploy(
            f"hf:{gpt2_bbc.folder()}",
            folder,
            task="text-generation",
            settings={"max_new_tokens": 24},
            data=_beginnings(unseen[: 6 if short else CHOSEN_ON], folder / "selection.csv"),
            targets=("onnx", "openvino"),
            recipes=RECIPES[:2] if short else RECIPES,
            budget="accuracy>=95%",
        )
        base = _surprises(made, made.base, articles)
        return [
            _row(made, point, winner, base, _surprises(made, winner, articles), articles)
            for point, winner in _points(made)
        ]


def _points(made: Deployed) -> list[tuple[str, Candidate]]:
    """The smallest candidate of each width that keeps the budget."""
    going = [c for c in made.outcome.choice.candidates if c.status in ("ok", "chosen") and c.size_bytes]
    by_width = {width: [c for c in going if c.precision.startswith(width)] for width in ("int8", "int4")}
    return [(width, min(some, key=lambda c: c.size_bytes or 0)) for width, some in by_width.items() if some]


def _row(
    made: Deployed,
    point: str,
    winner: Candidate,
    base: Sequence[float],
    own: Sequence[float],
    articles: Sequence[Sequence[int]],
) -> Row:
    def perplexity(picked: Sequence[int]) -> tuple[float, float]:
        count = sum(len(articles[i]) - 1 for i in picked)
        return math.exp(sum(base[i] for i in picked) / count), math.exp(sum(own[i] for i in picked) / count)

    return over_test_set(
        "gpt2-bbc",
        made,
        point,
        winner,
        "perplexity",
        perplexity,
        len(articles),
        winner.agreement or 0.0,
        larger_is_better=False,
    )


def _surprises(made: Deployed, candidate: Candidate, articles: Sequence[Sequence[int]]) -> list[float]:
    """The sum of -log p of each article's tokens."""
    with Predictor(made.bundle, variant=candidate.id) as predictor:
        pipeline = predictor.pipeline
        return [surprise(pipeline.runners["step"].run, pipeline.facts, ids) for ids in articles]


def _beginnings(texts: Sequence[str], path: Path) -> Path:
    """The first sixty words of each, which leave the model room to go on."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([" ".join(text.partition("\n")[2].split()[:60])] for text in texts)])
    return path
