"""The sample of `translation`: a dictionary as a network, English to Chinese word by word, with both kinds of state."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch

from . import BAD, Sample

DICTIONARY = {
    "i": "我",
    "you": "你",
    "love": "爱",
    "see": "看见",
    "the": "这",
    "cat": "猫",
    "dog": "狗",
    "house": "房子",
    "and": "和",
    ".": "。",
}
WORDS = ["</s>", "<unk>", *DICTIONARY, *DICTIONARY.values()]
END, UNKNOWN = 0, 1

PAIRS = (
    ("I love the cat.", "我爱这猫。"),
    ("You see the dog and the house.", "你看见这狗和这房子。"),
    ("the cat", "这猫"),
    ("I see you.\nYou see the house.", "我看见你。\n你看见这房子。"),
)
"""Texts and their translations; the last one has two lines."""


class Dictionary(torch.nn.Module):
    """Looks up each source token's translation and says them in order; what it said is kept, and summed up in a
    cell.
    """

    facts: ClassVar[Mapping[str, list[int]]] = {"start": [END], "end": [END]}

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(len(WORDS), len(WORDS))
        self.said = torch.nn.Embedding(len(WORDS), 4)
        self.back = torch.nn.Linear(8, len(WORDS))
        with torch.no_grad():
            self.table.weight.zero_()
            for token, word in enumerate(WORDS):
                self.table.weight[token, WORDS.index(DICTIONARY.get(word, word))] = 20.0

    def encode(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """What each source token means, float32 [batch, source, words], and the first state."""
        meaning = self.table(ids) * mask[:, :, None].float()
        nothing = meaning[:, :1, :4] * 0.0
        return {"meaning": meaning, "cell": nothing[:, 0], "heard": nothing}

    def step(
        self, token: torch.Tensor, position: torch.Tensor, mask: torch.Tensor, **read: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Logits float32 [batch, words]; `cell` float32 [batch, 4] and `heard` float32 [batch, tokens so far + 1,
        4].
        """
        said = self.said(token)
        cell = 0.5 * read["cell"] + said[:, 0]
        heard = torch.cat([read["heard"], said], dim=1)
        here = (torch.arange(mask.shape[1]) == position) & mask
        logits = (here[:, :, None].float() * read["meaning"]).sum(1) + 0.1 * self.back(
            torch.cat([cell, heard.mean(1)], dim=1)
        )
        return logits, {"cell": cell, "heard": heard}


def tokenizer(folder: Path) -> Path:
    """A `tokenizer.json` of `WORDS` that ends a text by `</s>` and writes Chinese without spaces."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({word: token for token, word in enumerate(WORDS)}, unk_token="<unk>"))  # noqa: S106  (a token of text)
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.Fuse()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def sample(folder: Path) -> Sample:
    """A table with the columns text and label."""
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *PAIRS])
    settings = {"tokenizer": str(tokenizer(folder)), "max_source": 32, "max_new_tokens": 32}
    wrong_language = b"Ich sehe dich nicht"
    return Sample(
        "translation", Dictionary().eval(), folder / "pairs.csv", settings, bad=(*BAD, b" \n\t ", wrong_language)
    )
