"""Text -> token ids by a `tokenizer.json`: cut to a greatest length, padded to a multiple so that lengths are few."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
from msgspec import Meta

from ...errors import BadInput, MissingDependency, UsageError, first_line
from ..facts import Facts, Mark, Reads

MOST = 2**20
"""Greatest number of tokens that a setting may ask for; no model here takes as many."""

Length = Annotated[int, Meta(ge=1, le=MOST)]


def find(value: Any) -> Path:
    """A `tokenizer.json` by its path, or by that of the folder it lies in; raises UsageError where there is none."""
    path = Path(value)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise UsageError(
            f"tokenizer: there is no {path}", "give a tokenizer.json, as Hugging Face's fast tokenizers are saved"
        )
    return path


class TextFacts(Facts, frozen=True, kw_only=True):
    """How a text becomes the token ids of an encoder, and its answer one vector."""

    tokenizer: Annotated[
        Path | None,
        "Path of a tokenizer.json, or of the folder that holds it; required unless the source states it.",
        Reads(find),
    ] = None
    max_length: Annotated[
        Length, "Longest text in tokens, special tokens included; a longer text is cut off.", Mark.LOWERED
    ] = 256
    truncation_side: Annotated[
        Literal["right", "left"], "Where a longer text is cut off: right (its end) or left (its beginning)."
    ] = "right"
    pad_id: Annotated[
        Annotated[int, Meta(ge=0, le=MOST)] | None,
        "Token id that fills a shorter text beside a longer one; none: what the tokenizer states.",
    ] = None
    pad_to: Annotated[Length, "Lengths are padded to a multiple of this many tokens."] = 8
    pooling: Annotated[
        Literal["mean", "cls", "max"],
        "How the vectors of the tokens become one: mean, cls (the first token) or max (the greatest of each element).",
    ] = "mean"


Text = TypeVar("Text", bound=TextFacts)

CHARACTERS_A_TOKEN = 16
"""How much text is read for one token at first: more than words need in any script, so that one reading is enough but
for blanks.
"""

MARGIN = 16
"""How many tokens beyond `max_length` make sure that the end of what was read does not show in what is kept."""

_PADDING = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>", "</s>")


class Tokens(NamedTuple):
    """Token ids and which of them count: int64 [texts, length] each; the mask is 1 for a token and 0 for padding."""

    ids: np.ndarray
    mask: np.ndarray


class Opened(NamedTuple):
    """A `tokenizers.Tokenizer` that cuts and does not pad, the id of padding, and one more than the greatest id of a
    token that is not special.
    """

    tokenizer: Any
    padding: int
    vocabulary: int


def check(facts: Text) -> Text:
    """The facts as they are, where there is a tokenizer that opens, and room beside what it adds.

    Raises:
        UsageError: no tokenizer, one that cannot be read, or no room.
    """
    if facts.tokenizer is None:
        raise UsageError("there is no tokenizer", "give --set tokenizer=FOLDER/tokenizer.json")
    try:
        added = opened(facts).tokenizer.num_special_tokens_to_add(is_pair=False)
    except BadInput as exc:
        raise UsageError(f"tokenizer: {exc.message}", exc.hint) from exc
    if facts.max_length <= added:
        raise UsageError(
            f"max_length={facts.max_length} leaves no room beside the {added} tokens at the ends",
            "give the length the model was trained with, such as 128",
        )
    return facts


def stated(path: Any) -> dict[str, Any]:
    """Facts that a `tokenizer.json` states in its sections on truncation and padding; nothing where it cannot be
    read.
    """
    try:
        place = Path(path)
        content = json.loads((place / "tokenizer.json" if place.is_dir() else place).read_text(encoding="utf-8"))
        cut, filled = content.get("truncation") or {}, content.get("padding") or {}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
    found = {
        "max_length": cut.get("max_length"),
        "truncation_side": str(cut.get("direction", "")).lower() or None,
        "pad_id": filled.get("pad_id"),
        "pad_to": filled.get("pad_to_multiple_of"),
    }
    return {name: value for name, value in found.items() if value is not None}


def opened(facts: TextFacts) -> Opened:
    """The tokenizer of the facts, read once; raises as `open_file`."""
    assert facts.tokenizer is not None, "the task has checked it"
    made = open_file(facts.tokenizer, facts.max_length, facts.truncation_side)
    return made if facts.pad_id is None else made._replace(padding=facts.pad_id)


def open_file(path: Path, max_length: int, side: Literal["right", "left"] = "right") -> Opened:
    """A tokenizer that cuts texts to a length, read once.

    Raises:
        BadInput: the file is no tokenizer.
        MissingDependency: the package `tokenizers` is not installed.
    """
    try:
        about = path.stat()
    except OSError as exc:
        raise BadInput(f"{path}: {exc.strerror}", "give the tokenizer again") from exc
    return _open(path, about.st_mtime_ns, about.st_size, max_length, side)


def encode(texts: Sequence[str], facts: TextFacts) -> Tokens:
    """Texts as one batch, padded to the longest of them and then to a multiple of `pad_to`, at most `max_length`."""
    return pad([ids(text, facts) for text in texts], facts)


def ids(text: str, facts: TextFacts) -> list[int]:
    """The tokens of one text, at most `max_length`, with what the model wants at the ends.

    Only as much of a text is read as fills `max_length`: the beginning of 10 MB costs what the beginning of a page
    costs; so its end, where texts are cut off on the left.
    """
    tokenizer, most, left = opened(facts).tokenizer, facts.max_length, facts.truncation_side == "left"
    read = CHARACTERS_A_TOKEN * most
    while True:
        encoding = tokenizer.encode(text[-read:] if left else text[:read])
        if read >= len(text) or sum(len(rest.ids) for rest in encoding.overflowing) >= MARGIN:
            return list(encoding.ids)
        read *= 8


def pad(rows: Sequence[Sequence[int]], facts: TextFacts) -> Tokens:
    """Token ids as one batch, see `encode`."""
    longest = max(1, *map(len, rows))
    length = min(facts.max_length, -(-longest // facts.pad_to) * facts.pad_to)
    batch = np.full((len(rows), length), opened(facts).padding, np.int64)
    mask = np.zeros((len(rows), length), np.int64)
    for place, kept, row in zip(batch, mask, rows, strict=True):
        place[: len(row)] = row
        kept[: len(row)] = 1
    return Tokens(batch, mask)


@functools.lru_cache(maxsize=8)
def _open(path: Path, mtime_ns: int, size: int, max_length: int, side: str) -> Opened:
    try:
        from tokenizers import Tokenizer
    except ImportError as exc:
        raise MissingDependency(f"text is tokenized with tokenizers: {exc}", "pip install 'torchport[text]'") from exc
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as exc:  # it raises plain Exception
        raise BadInput(
            f"{path.name} is not a tokenizer: {first_line(exc, kind=False)[:100]}",
            "give a tokenizer.json, as Hugging Face's fast tokenizers are saved",
        ) from exc
    stated = tokenizer.padding
    padding = (
        stated["pad_id"]
        if stated
        else next((found for name in _PADDING if (found := tokenizer.token_to_id(name)) is not None), 0)
    )
    tokenizer.no_padding()
    if max_length > tokenizer.num_special_tokens_to_add(False):
        tokenizer.enable_truncation(max_length, direction=side)
    # A mask token, for one, is added for training: no text has it, and the model need not know it.
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return Opened(
        tokenizer,
        padding,
        max((n for n in tokenizer.get_vocab(with_added_tokens=True).values() if n not in special), default=0) + 1,
    )
