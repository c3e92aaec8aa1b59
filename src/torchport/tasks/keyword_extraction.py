"""The task `keyword-extraction`: a text in, the words out that are nearest to what it is about."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import RunError, UsageError
from ..types import Signature, Step, Value
from .base import Task
from .calls import Call
from .parts import Driver, Facts, HostStep, Item, Split, Values
from .shared import keywords, text_chain, texts, tokens

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

AUTO = "auto"
TOKENS_A_CALL = 512
"""How many tokens are embedded at once: candidates are few tokens each, and more of them at once are no faster."""


class Keyword(Value, frozen=True):
    """A word or phrase as the text has it, and its cosine with the text."""

    keyword: str
    score: float


class Keywords(Value, frozen=True):
    """The keywords, the best first, and the language whose stop words were left out."""

    keywords: tuple[Keyword, ...]
    language: str


class KeywordExtraction(Task):
    """A text -> its keywords, by the embeddings of the text and of its words."""

    name = "keyword-extraction"
    about = "a text -> its keywords"
    metric = "precision"
    about_data = (
        "One text file; a table with a column text (.csv, .tsv, or .jsonl of objects); or a folder with one such table "
        "or with text files. A label is the text's keywords with semicolons between them."
    )
    about_metric = (
        "precision: the share of the keywords found that are among the labelled ones. Without labels, the share of "
        "texts with the reference's keywords in the same order."
    )
    suffixes = texts.SUFFIXES
    mime = texts.MIME
    answer = Keywords
    example = "torchport deploy FOLDER --task keyword-extraction --data articles -o keywords.tport"
    defaults: ClassVar[Mapping[str, Any]] = {
        **tokens.DEFAULTS,
        "pooling": "mean",
        "language": AUTO,
        "stop_words": None,
        "words": 1,
        "diversity": 0.0,
        "candidates": 512,
        "top": 5,
    }
    about_facts: ClassVar[Mapping[str, str]] = {
        **text_chain.ABOUT,
        "language": f"Whose stop words are left out: {AUTO} (told by the text) or one of "
        f"{', '.join(keywords.LANGUAGES)}.",
        "stop_words": "A file with one word a line, left out instead of the language's stop words; or none.",
        "words": "How many words a keyword has at most. A whole number from 1 on.",
        "diversity": "Maximal marginal relevance, 0 to 1: 0 takes what is nearest to the text, more avoids keywords "
        "that are near each other.",
        "candidates": "How many words and phrases of a text are compared at most. A whole number from 1 on.",
        "top": "How many keywords are answered, the best first. A whole number from 1 on.",
    }
    suspects: ClassVar[tuple[str, ...]] = ("tokenizer", "pooling", "language", "words")
    at_predict: ClassVar[frozenset[str]] = frozenset(
        {"candidates", "diversity", "language", "stop_words", "top", "words"}
    )
    lowered_at_predict: ClassVar[frozenset[str]] = frozenset({"max_length"})

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[Facts, tuple[str, ...]]:
        """As `Task.resolve`; how texts are padded and cut off is the tokenizer's to say and is not assumed."""
        facts, assumed = super().resolve(settings, text_chain.settings(settings, source))
        return facts, tuple(name for name in assumed if name not in ("pad_id", "truncation_side"))

    def check(self, facts: Facts) -> Facts:
        """Validate and normalise resolved facts; raises UsageError."""
        facts = {
            **text_chain.check(facts),
            **{name: tokens.whole(name, facts[name]) for name in ("words", "candidates", "top")},
        }
        facts["language"] = text_chain.choice("language", facts["language"], AUTO, *keywords.LANGUAGES)
        try:
            facts["diversity"] = float(facts["diversity"])
        except ValueError:
            facts["diversity"] = -1.0
        if not 0 <= facts["diversity"] <= 1:
            raise UsageError("diversity is not a number from 0 to 1", "such as diversity=0.3")
        return {**facts, "stop_words": _read_words(facts["stop_words"])}

    def items(self, data: Path, facts: Facts) -> list[Item]:
        """The user's texts, see `shared.texts.items_of`; a label is keywords with semicolons between them."""
        return [
            Item(item.name, item.read, None if item.label is None else item.label.split(";"))
            for item in texts.items_of(data)
        ]

    def split(self, model: torch.nn.Module | ExportedProgram, facts: Facts, items: Sequence[Item]) -> Split:
        """The graph `model`: token ids -> embedding of length 1.

        Raises:
            BadInput: the model is no model of token ids.
        """
        from .graphs import text_graphs

        feed = text_graphs.example_feed([texts.decode(item.read()) for item in items], facts)
        encoder, _ = text_graphs.encoder_of(model, facts, feed)
        return text_graphs.one_graph(text_graphs.Pooled(encoder, facts["pooling"], normalize=True), facts, feed)

    def steps(self, facts: Facts, model: Signature) -> tuple[Step, ...]:
        """decode, candidates, extract (which embeds the text and all candidates), present."""
        return (
            Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"text": "text"}),
            Step(
                name="candidates",
                host="candidates",
                inputs={"text": "text"},
                outputs={"candidates": "candidates", "language": "language"},
            ),
            Step(
                name="embed",
                host="embed",
                drives={"model": {}},
                inputs={"text": "text", "candidates": "candidates"},
                outputs={"document": "document", "embeddings": "embeddings"},
            ),
            Step(
                name="present",
                host="present",
                inputs={
                    "document": "document",
                    "embeddings": "embeddings",
                    "candidates": "candidates",
                    "language": "language",
                },
                outputs={"result": "result"},
            ),
        )

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`: UTF-8 bytes -> text; `candidates`: text -> list of words, language; `present`: embeddings ->
        keywords.
        """
        return {"decode": _decode, "candidates": _candidates, "present": _present}

    @property
    def drivers(self) -> Mapping[str, Driver]:
        """`embed`: text and candidates -> float32 [width] and [candidates, width]."""
        return {"embed": _embed}

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """The share of the keywords that are among the label's."""
        right = {word.strip().casefold() for word in label}
        found = [one["keyword"].casefold() in right for one in result["keywords"]]
        return sum(found) / len(found) if found else 0.0

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether both results name the same keywords in the same order."""
        return [one["keyword"] for one in result["keywords"]] == [one["keyword"] for one in reference["keywords"]]

    def words(self, result: Mapping[str, Any]) -> str:
        """The keywords with commas between them."""
        return ", ".join(one["keyword"] for one in result["keywords"]) or "no keyword"

    def label_words(self, label: Any, facts: Facts) -> str:
        """The keywords with commas between them."""
        return ", ".join(label)

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """Every keyword with its cosine, the best first."""
        return [f"{one['keyword']} {one['score']:.3f}" for one in result["keywords"]] or ["no keyword"]

    def describe(self, facts: Facts) -> list[str]:
        """The facts in words, a line each; stop words are only counted."""
        stop = facts["stop_words"]
        return super().describe(
            {**facts, "stop_words": f"{len(stop)} words" if stop is not None else "those of the language"}
        )


def _read_words(value: Any) -> list[str] | None:
    if value is None or isinstance(value, list | tuple):
        return None if value is None else [str(word).casefold() for word in value]
    try:
        return Path(str(value)).read_text(encoding="utf-8-sig").casefold().split()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"stop_words: '{value}' cannot be read", "give a text file with one word a line") from exc


def _decode(values: Values, facts: Facts) -> Values:
    return {"text": texts.decode(values["raw"])}


def _candidates(values: Values, facts: Facts) -> Values:
    text = values["text"]
    language = keywords.language_of(text) if facts["language"] == AUTO else facts["language"]
    stop = keywords.stop_words(language) if facts["stop_words"] is None else frozenset(facts["stop_words"])
    return {
        "candidates": keywords.candidates(text, language, stop, facts["words"], facts["candidates"]),
        "language": language,
    }


def _embed(values: Values, facts: Facts) -> Generator[Call, Any, Values]:
    """The text by itself, then the candidates of like length together: padded to the text's length they would cost ten
    times as much.
    """
    document = (yield Call("model", _feed(tokens.encode([values["text"]], facts))))["embedding"][0]
    rows = [tokens.ids(word, facts) for word in values["candidates"]]
    embeddings = np.zeros((len(rows), len(document)), np.float32)
    for chosen in _batches([len(row) for row in rows], facts["pad_to"]):
        answered = yield Call("model", _feed(tokens.pad([rows[i] for i in chosen], facts)))
        embeddings[chosen] = answered["embedding"]
    return {"document": document, "embeddings": embeddings}


def _batches(lengths: Sequence[int], multiple: int) -> list[list[int]]:
    """Indices in batches of one padded length each, of at most `TOKENS_A_CALL` tokens where one row is not more."""
    groups: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        groups.setdefault(-(-length // multiple) * multiple, []).append(i)
    batches = []
    for length, members in sorted(groups.items()):
        size = max(1, TOKENS_A_CALL // length)
        batches += [members[start : start + size] for start in range(0, len(members), size)]
    return batches


def _feed(made: tokens.Tokens) -> dict[str, np.ndarray]:
    return {"input_ids": made.ids, "attention_mask": made.mask}


def _present(values: Values, facts: Facts) -> Values:
    similar = values["embeddings"] @ values["document"]
    if not np.isfinite(similar).all():
        raise RunError("the model answered NaN", "check the weights, or use a variant of a higher precision")
    best = keywords.pick(similar, values["embeddings"], facts["top"], facts["diversity"])
    return {
        "result": {
            "keywords": [{"keyword": values["candidates"][i], "score": float(similar[i])} for i in best],
            "language": values["language"],
        }
    }
