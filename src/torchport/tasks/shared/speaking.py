"""What translation and text generation share: their tokenizer, the text of tokens, and text that is shown as it
grows.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from ...errors import BadInput, UsageError
from ...figures import size
from ..calls import Call
from ..facts import Facts, Mark, Reads
from . import texts, tokens, unigram_file
from .generate import Rules

_WHOLE_TEXT = 2**22
"""A length in tokens that no text of `texts.MOST_BYTES` has: here nothing is cut silently."""

LONGEST = "Longest answer to one text, in tokens."

_GAPS = " \u2581\u0120"
"""How tokenizers write a blank: as it is, by sentencepiece, by bytes."""

_UNKNOWN = ("<unk>", "[UNK]", unigram_file.UNKNOWN)


def find(value: Any) -> Path:
    """A `tokenizer.json` as `tokens.find`, or made of a sentencepiece model; raises UsageError."""
    path = tokens.find(value)
    return unigram_file.convert(path) if path.suffix.lower() in unigram_file.SUFFIXES else path


TokenId = Annotated[int, Meta(ge=0, le=2**24)]
"""Not more than any vocabulary has."""

TokenIds = Annotated[tuple[TokenId, ...] | None, Mark.AT_PREDICT, Mark.FROM_MODEL]


class AnswerFacts(Facts, frozen=True, kw_only=True):
    """What a model was trained with that answers a text token by token, and how long and when it ends."""

    tokenizer: Annotated[
        Path | None,
        "Path of a tokenizer.json or of the folder that holds it, or of the .spm file of a "
        "sentencepiece unigram model; required unless the source states it.",
        Reads(find),
    ] = None
    max_new_tokens: Annotated[tokens.Length, LONGEST] = 256
    end: Annotated[TokenIds, "Token ids that end an answer: a list; none: what the model states."] = None
    suppress: Annotated[TokenIds, "Token ids that are never said: a list; none: what the model states."] = None
    wiring: Annotated[dict[str, Any], "What the graphs read and carry.", Mark.TOLD] = {}


def need_tokenizer(name: str, path: Path | None) -> None:
    """See that there is a tokenizer that opens; raises UsageError."""
    if path is None:
        raise UsageError(
            f"there is no {name}", f"give --set {name}=FOLDER/tokenizer.json, or the .spm file of a sentencepiece model"
        )
    try:
        open_tokenizer(path)
    except BadInput as exc:
        raise UsageError(f"{name}: {exc.message}", exc.hint) from exc


def open_tokenizer(path: Path | None) -> tokens.Opened:
    """The tokenizer of a file, read once; it cuts nothing."""
    assert path is not None, "the task has checked it"
    return tokens.open_file(path, _WHOLE_TEXT)


def unknown_of(path: Path | None) -> int | None:
    """The token of whatever the vocabulary does not know."""
    tokenizer = open_tokenizer(path).tokenizer
    return next((number for name in _UNKNOWN if (number := tokenizer.token_to_id(name)) is not None), None)


def need_known(text: str, path: Path | None) -> None:
    """See that a text is in the vocabulary's script; raises BadInput where most of its tokens are unknown.

    A token that only marks a gap between words, or an end, says nothing; nor does the length of an unknown one, for a
    name may be long, and a sentencepiece tokenizer makes one token of all characters in a row that it does not know.
    """
    encoding, unknown = open_tokenizer(path).tokenizer.encode(text), unknown_of(path)
    telling = [
        token
        for token, name, special in zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, strict=True)
        if not special and name.strip(_GAPS)
    ]
    missing = telling.count(unknown) if unknown is not None else 0
    if 2 * missing > len(telling):
        raise BadInput(
            f"the model's vocabulary does not know {missing} of the text's {len(telling)} tokens",
            "is this the language that the model was trained for?",
        )


def decode(raw: bytes) -> str:
    """As `texts.decode`, of the whole text or not at all.

    Raises:
        BadInput: the text is empty, no UTF-8, or longer than is taken at once.
    """
    if len(raw) > texts.MOST_BYTES:
        raise BadInput(f"the text has {size(len(raw))}", f"give it in parts of at most {size(texts.MOST_BYTES)}")
    return texts.decode(raw)


def text_of(ids: Sequence[int], path: Path | None) -> str:
    """The text of tokens, without what only marks beginnings and ends."""
    text: str = open_tokenizer(path).tokenizer.decode(list(ids), skip_special_tokens=True)
    return text


def rules_of(facts: AnswerFacts, most: int, forced: Sequence[int] = ()) -> Rules:
    """When to stop and what not to say, by the facts."""
    return Rules(frozenset(facts.end or ()), most, tuple(forced), facts.suppress or ())


class Carried:
    """A step graph with what it reads and carries: a `generate.Decoder` whose rows are axis 0 of every tensor but
    `position`.

    Args:
        graph: name of the step graph; its first input is called `token`.
        wiring: as `decoders.seq2seq` gives it.
        read: the encoder's answer and the mask, by the step's names.
    """

    def __init__(self, graph: str, wiring: Mapping[str, Any], read: Mapping[str, np.ndarray]) -> None:
        self._graph, self._wiring = graph, wiring
        self._read = {name: read[name] for name in wiring["reads"] if name != "position"}
        self._position = 0

    def step(self, chosen: np.ndarray) -> Generator[Call, Any, np.ndarray]:
        """int64 [rows]; returns float32 [rows, vocabulary]."""
        feed = {"token": chosen[:, None], **self._read}
        if "position" in self._wiring["reads"]:
            feed["position"] = np.array([self._position])
        answer = yield Call(self._graph, feed)
        self._read.update({name: answer[output] for output, name in self._wiring["state"].items()})
        self._position += 1
        logits: np.ndarray = answer["logits"]
        return logits

    def select(self, rows: np.ndarray) -> None:
        """Go on with these rows, in this order."""
        if not np.array_equal(rows, np.arange(len(next(iter(self._read.values()))))):
            self._read = {name: value[rows] for name, value in self._read.items()}


class Growing:
    """Text in several parts that become longer and complete in any order, told from the beginning as far as it is
    known.

    Args:
        text: tokens -> text.
        before: what stands between a part and the one before it.
        stops: texts that may yet end a part and are then none of it: where one may have begun, the rest is not told.
    """

    def __init__(self, text: Callable[[Sequence[int]], str], before: Sequence[str], stops: Sequence[str] = ()) -> None:
        self._text, self._before, self._stops = text, before, stops
        self._part, self._shown = 0, ""

    def delta(self, answers: Mapping[int, Sequence[int]], done: Mapping[int, Sequence[int]]) -> str:
        """What can be told now and was not before.

        Args:
            answers: part -> its tokens so far, of the parts under way.
            done: part -> its tokens, of the complete ones.
        """
        told = ""
        while self._part in done:
            told += self._more(self._text(done[self._part]))
            self._part, self._shown = self._part + 1, ""
        text = self._sure(self._text(answers[self._part])) if self._part in answers else ""
        # A character may be more than one token, and a token's text may depend on the next one.
        return told + self._more(text) if text.startswith(self._shown) and not text.endswith("\ufffd") else told

    def _sure(self, text: str) -> str:
        """The text without what may be the beginning of a stop."""
        begun = max(
            (size for stop in self._stops for size in range(1, len(stop)) if text.endswith(stop[:size])), default=0
        )
        return text[: len(text) - begun]

    def _more(self, text: str) -> str:
        fresh = self._before[self._part] + text if text and not self._shown else text[len(self._shown) :]
        self._shown = text
        return fresh
