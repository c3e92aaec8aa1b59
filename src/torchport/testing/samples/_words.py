"""What the samples of text tasks share: a tokenizer of forty words, and an encoder that knows which of them belong
together.
"""

from __future__ import annotations

from pathlib import Path

import torch

TOPICS = {
    "sport": ["goal", "team", "match", "player", "coach", "season", "league", "striker", "stadium", "referee"],
    "music": ["guitar", "song", "concert", "singer", "album", "melody", "piano", "drummer", "chorus", "orchestra"],
    "food": ["bread", "cheese", "soup", "recipe", "kitchen", "oven", "salad", "dessert", "butter", "pepper"],
}
OTHER = [
    "the",
    "a",
    "of",
    "in",
    "and",
    "with",
    "about",
    "this",
    "text",
    "is",
    "for",
    "new",
    "great",
    "plays",
    "球",
    "队",
    "赢",
    "了",
    "比",
    "赛",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*SPECIAL, *TOPICS, *(word for words in TOPICS.values() for word in words), *OTHER]


def tokenizer(folder: Path) -> Path:
    """A `tokenizer.json` of `WORDS`: lower case, a token a word, Chinese a token a character."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))  # noqa: S106  (a token of text)
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


class Encoder(torch.nn.Module):
    """Token ids and mask, int64 [batch, length] -> float32 [batch, length, 16]: embeddings, one layer of attention, one
    linear layer.

    Words of one topic point the same way, so that what is near is known.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(len(WORDS), 16)
        self.keys = torch.nn.Linear(16, 16)
        self.out = torch.nn.Linear(16, 16)
        with torch.no_grad():
            self.words.weight.mul_(0.2)
            for axis, (topic, words) in enumerate(TOPICS.items()):
                for strength, word in enumerate([topic, *words]):
                    self.words.weight[WORDS.index(word), axis] = 3.0 - 0.1 * strength
            for layer in (self.keys, self.out):
                layer.weight.mul_(0.2).add_(torch.eye(16))
                layer.bias.zero_()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """float32 [batch, length, 16]."""
        hidden = self.words(input_ids)
        near = hidden @ self.keys(hidden).transpose(1, 2) / 4
        near = near + (1.0 - attention_mask[:, None, :].to(hidden.dtype)) * -1e4
        made: torch.Tensor = self.out(hidden + near.softmax(2) @ hidden)
        return made


class Classifier(torch.nn.Module):
    """Token ids and mask -> logits, float32 [batch, 3], of the topics: the mean of the encoder's first three
    elements.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """float32 [batch, 3]."""
        kept = attention_mask[:, :, None].to(torch.float32)
        logits: torch.Tensor = (self.encoder(input_ids, attention_mask) * kept).sum(1)[:, :3] / kept.sum(1)
        return logits


SENTENCES = (
    ("The new striker plays for the team this season", "sport"),
    ("A great concert with piano and orchestra", "music"),
    ("Bread, butter and cheese: a recipe", "food"),
    ("球队赢了比赛 goal match", "sport"),
    ("soup", "food"),
)
"""Texts of several lengths, one of them partly Chinese, with their topics."""
