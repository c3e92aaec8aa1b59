"""Text -> token ids by a `tokenizer.json`: cut to a greatest length, padded to a multiple so that lengths are few."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import BadInput, MissingDependency, UsageError, first_line
from ..parts import Facts

SIDES = ("right", "left")

DEFAULTS: dict[str, Any] = {
    "tokenizer": None,
    "max_length": 256,
    "truncation_side": SIDES[0],
    "pad_id": None,
    "pad_to": 8,
}
"""Facts of every task that tokenizes."""

ABOUT: dict[str, str] = {
    "tokenizer": "Path of a tokenizer.json, or of the folder that holds it; required unless the source states it.",
    "max_length": "Longest text in tokens, special tokens included; a longer text is cut off. A whole number from 1 "
    "on.",
    "truncation_side": "Where a longer text is cut off: right (its end) or left (its beginning).",
    "pad_id": "Token id that fills a shorter text beside a longer one, a whole number from 0 on; none: what the "
    "tokenizer states.",
    "pad_to": "Lengths are padded to a multiple of this many tokens. A whole number from 1 on.",
}

CHARACTERS_A_TOKEN = 16
"""How much text is read for one token at first: more than words need in any script, so that one reading is enough but
for blanks.
"""

MOST = 2**20
"""Greatest number of tokens, words or answers that a setting may ask for; no model here takes as many."""

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


def check(facts: Facts) -> Facts:
    """The tokenizer as a Path that opens, the lengths as whole numbers.

    Raises:
        UsageError: no tokenizer, one that cannot be read, or a length that is none.
    """
    if facts["tokenizer"] is None:
        raise UsageError("there is no tokenizer", "give --set tokenizer=FOLDER/tokenizer.json")
    path = Path(facts["tokenizer"])
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise UsageError(
            f"tokenizer: there is no {path}", "give a tokenizer.json, as Hugging Face's fast tokenizers are saved"
        )
    facts = {**facts, "tokenizer": path, **{name: whole(name, facts[name]) for name in ("max_length", "pad_to")}}
    if facts.get("truncation_side", SIDES[0]) not in SIDES:
        raise UsageError(
            f"truncation_side={facts['truncation_side']} is none of {', '.join(SIDES)}", "such as truncation_side=right"
        )
    if facts.get("pad_id") is not None:
        facts["pad_id"] = (
            None if str(facts["pad_id"]).lower() in ("none", "null", "") else whole("pad_id", facts["pad_id"], least=0)
        )
    try:
        added = opened(facts).tokenizer.num_special_tokens_to_add(is_pair=False)
    except BadInput as exc:
        raise UsageError(f"tokenizer: {exc.message}", exc.hint) from exc
    if facts["max_length"] <= added:
        raise UsageError(
            f"max_length={facts['max_length']} leaves no room beside the {added} tokens at the ends",
            "give the length the model was trained with, such as 128",
        )
    return facts


def whole(name: str, value: Any, least: int = 1, most: int = MOST) -> int:
    """A setting that is a whole number from `least` to `most`; raises UsageError."""
    try:
        number = int(str(value))
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise UsageError(f"{name}={value} is not a whole number from {least} to {most}", f"such as {name}=8")
    return number


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


def opened(facts: Facts) -> Opened:
    """The tokenizer of the facts, read once.

    Raises:
        BadInput: the file is no tokenizer.
        MissingDependency: the package `tokenizers` is not installed.
    """
    path: Path = facts["tokenizer"]
    try:
        about = path.stat()
    except OSError as exc:
        raise BadInput(f"{path}: {exc.strerror}", "give the tokenizer again") from exc
    made = _open(path, about.st_mtime_ns, about.st_size, facts["max_length"], facts.get("truncation_side", SIDES[0]))
    return made if facts.get("pad_id") is None else made._replace(padding=facts["pad_id"])


def encode(texts: Sequence[str], facts: Facts) -> Tokens:
    """Texts as one batch, padded to the longest of them and then to a multiple of `pad_to`, at most `max_length`."""
    return pad([ids(text, facts) for text in texts], facts)


def ids(text: str, facts: Facts) -> list[int]:
    """The tokens of one text, at most `max_length`, with what the model wants at the ends.

    Only as much of a text is read as fills `max_length`: the beginning of 10 MB costs what the beginning of a page
    costs; so its end, where texts are cut off on the left.
    """
    tokenizer, most, left = opened(facts).tokenizer, facts["max_length"], facts.get("truncation_side") == "left"
    read = CHARACTERS_A_TOKEN * most
    while True:
        encoding = tokenizer.encode(text[-read:] if left else text[:read])
        if read >= len(text) or sum(len(rest.ids) for rest in encoding.overflowing) >= MARGIN:
            return list(encoding.ids)
        read *= 8


def pad(rows: Sequence[Sequence[int]], facts: Facts) -> Tokens:
    """Token ids as one batch, see `encode`."""
    longest = max(1, *map(len, rows))
    length = min(facts["max_length"], -(-longest // facts["pad_to"]) * facts["pad_to"])
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
