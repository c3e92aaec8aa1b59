"""The task `keyword-extraction`: a text in, the words out that are nearest to what it is about."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from ..errors import RunError, UsageError
from ..types import Signature, Step, Value
from .base import Task
from .calls import Call
from .facts import Mark, Reads
from .kinds import Share, one_of
from .parts import Driver, HostStep, Item, Split, Values, told
from .shared import keywords, text_chain, texts, tokens
from .shared.tokens import Length, TextFacts

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


def _read_words(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(word).casefold() for word in value]
    try:
        return Path(str(value)).read_text(encoding="utf-8-sig").casefold().split()
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"stop_words: '{value}' cannot be read", "give a text file with one word a line") from exc


class KeywordFacts(TextFacts, frozen=True, kw_only=True):
    """What an encoder of texts was trained with, and which words count."""

    language: Annotated[
        str,
        one_of(AUTO, *keywords.LANGUAGES),
        f"Whose stop words are left out: {AUTO} (told by the text) or one of {', '.join(keywords.LANGUAGES)}.",
        Mark.AT_PREDICT,
    ] = AUTO
    stop_words: Annotated[
        tuple[str, ...] | None,
        "A file with one word a line, left out instead of the language's stop words; a list of them; or none.",
        Reads(_read_words),
        Mark.AT_PREDICT,
    ] = None
    words: Annotated[Length, "How many words a keyword has at most.", Mark.AT_PREDICT] = 1
    diversity: Annotated[
        Share,
        "Maximal marginal relevance: 0 takes what is nearest to the text, more avoids keywords that "
        "are near each other.",
        Mark.AT_PREDICT,
    ] = 0.0
    candidates: Annotated[Length, "How many words and phrases of a text are compared at most.", Mark.AT_PREDICT] = 512
    top: Annotated[Length, "How many keywords are answered, the best first.", Mark.AT_PREDICT] = 5


class KeywordExtraction(Task[KeywordFacts]):
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
    facts = KeywordFacts
    suspects: ClassVar[tuple[str, ...]] = ("tokenizer", "pooling", "language", "words")

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[KeywordFacts, tuple[str, ...]]:
        """As `Task.resolve`; how texts are padded and cut off is the tokenizer's to say and is not assumed."""
        facts, assumed = super().resolve(settings, text_chain.settings(settings, source))
        return facts, tuple(name for name in assumed if name not in ("pad_id", "truncation_side"))

    def check(self, facts: KeywordFacts) -> KeywordFacts:
        """See `tokens.check`."""
        return tokens.check(facts)

    def items(self, data: Path, facts: KeywordFacts) -> list[Item]:
        """The user's texts, see `shared.texts.items_of`; a label is keywords with semicolons between them."""
        return [
            Item(item.name, item.read, None if item.label is None else item.label.split(";"))
            for item in texts.items_of(data)
        ]

    def split(self, model: torch.nn.Module | ExportedProgram, facts: KeywordFacts, items: Sequence[Item]) -> Split:
        """The graph `model`: token ids -> embedding of length 1.

        Raises:
            BadInput: the model is no model of token ids.
        """
        from .graphs import text_graphs

        feed = text_graphs.example_feed([texts.decode(item.read()) for item in items], facts)
        encoder, _ = text_graphs.encoder_of(model, facts, feed)
        return text_graphs.one_graph(text_graphs.Pooled(encoder, facts.pooling, normalize=True), facts, feed)

    def steps(self, facts: KeywordFacts, model: Signature) -> tuple[Step, ...]:
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

    def label_words(self, label: Any, facts: KeywordFacts) -> str:
        """The keywords with commas between them."""
        return ", ".join(label)

    def lines(self, result: Mapping[str, Any]) -> list[str]:
        """Every keyword with its cosine, the best first."""
        return [f"{one['keyword']} {one['score']:.3f}" for one in result["keywords"]] or ["no keyword"]

    def describe(self, facts: KeywordFacts) -> list[str]:
        """The facts in words, a line each; stop words are only counted."""
        stop = facts.stop_words
        return told(facts, stop_words="those of the language" if stop is None else f"{len(stop)} words")


def _decode(values: Values, facts: KeywordFacts) -> Values:
    return {"text": texts.decode(values["raw"])}


def _candidates(values: Values, facts: KeywordFacts) -> Values:
    text = values["text"]
    language = keywords.language_of(text) if facts.language == AUTO else facts.language
    stop = keywords.stop_words(language) if facts.stop_words is None else frozenset(facts.stop_words)
    return {
        "candidates": keywords.candidates(text, language, stop, facts.words, facts.candidates),
        "language": language,
    }


def _embed(values: Values, facts: KeywordFacts) -> Generator[Call, Any, Values]:
    """The text by itself, then the candidates of like length together: padded to the text's length they would cost ten
    times as much.
    """
    document = (yield Call("model", _feed(tokens.encode([values["text"]], facts))))["embedding"][0]
    rows = [tokens.ids(word, facts) for word in values["candidates"]]
    embeddings = np.zeros((len(rows), len(document)), np.float32)
    for chosen in _batches([len(row) for row in rows], facts.pad_to):
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


def _present(values: Values, facts: KeywordFacts) -> Values:
    similar = values["embeddings"] @ values["document"]
    if not np.isfinite(similar).all():
        raise RunError("the model answered NaN", "check the weights, or use a variant of a higher precision")
    best = keywords.pick(similar, values["embeddings"], facts.top, facts.diversity)
    return {
        "result": {
            "keywords": [{"keyword": values["candidates"][i], "score": float(similar[i])} for i in best],
            "language": values["language"],
        }
    }
