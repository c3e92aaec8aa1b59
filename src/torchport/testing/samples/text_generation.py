"""The sample of `text-generation`: a network that goes on counting, in two languages, and remembers what it has
seen.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import torch

from . import BAD, Sample

COUNTS = ("one two three four five six .", "一 二 三 四 五 六 。")
WORDS = ["</s>", "<unk>", *" ".join(COUNTS).split()]
END = 0

PROMPTS = (("one two", "three four five six."), ("四", "五六。"), ("two three four five six", "."))
"""Beginnings, and how they go on."""


class Counting(torch.nn.Module):
    """The next word by the last one; a cache grows by every token, and is heard faintly."""

    facts: ClassVar[Mapping[str, list[int]]] = {"end": [END]}

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.follows = torch.nn.Embedding(len(WORDS), len(WORDS))
        self.seen = torch.nn.Embedding(len(WORDS), 4)
        self.back = torch.nn.Linear(4, len(WORDS))
        with torch.no_grad():
            self.follows.weight.normal_().mul_(0.5)
            for count in COUNTS:
                words = [*count.split(), "</s>"]
                for word, after in pairwise(words):
                    self.follows.weight[WORDS.index(word), WORDS.index(after)] += 8.0

    def first(self, batch: int) -> dict[str, torch.Tensor]:
        """`seen` float32 [batch, 1, 4]: one place that stands for nothing yet."""
        return {"seen": torch.zeros(batch, 1, 4)}

    def step(self, ids: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Logits float32 [1, words] after `ids` int64 [1, length]; `seen` with those added."""
        seen = torch.cat([seen, self.seen(ids)], dim=1)
        return self.follows(ids[:, -1]) + 0.1 * self.back(seen.mean(1)), {"seen": seen}


def tokenizer(folder: Path) -> Path:
    """A `tokenizer.json` of `WORDS`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({word: token for token, word in enumerate(WORDS)}, unk_token="<unk>"))  # noqa: S106  (a token of text)
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def sample(folder: Path) -> Sample:
    """A table with the columns text and label."""
    with (folder / "prompts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *PROMPTS])
    settings = {"tokenizer": str(tokenizer(folder)), "max_new_tokens": 12, "context": 48}
    return Sample(
        "text-generation", Counting().eval(), folder / "prompts.csv", settings, bad=(*BAD, b" \n\t ", b"one two " * 50)
    )
