"""A sentencepiece model (`.spm`, `.model`) as a `tokenizer.json` that gives the same ids, made once, when a Bundle is
built.

The file is a protocol buffer (sentencepiece_model.proto); the few fields that matter are read here, so that neither
sentencepiece nor protobuf is needed. `tokenizers` knows the same unigram model and the same compiled normaliser.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import MissingDependency, UsageError
from ...system import cache, disk

SUFFIXES = (".spm", ".model")
_UNIGRAM = 1
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
UNKNOWN = " \u2047 "
"""What an unknown piece is shown as, as sentencepiece does. Its spaces, as the one behind `</s> `, keep text from being
read as such a piece: `</s>` written in a text is four characters, not its end, and no text has spaces where pieces are
looked for."""


class Piece(NamedTuple):
    """One token: its text, its log-probability, and what kind it is."""

    text: str
    score: float
    kind: int


def convert(path: Path) -> Path:
    """The path of a `tokenizer.json` with the ids of a sentencepiece model, each text ended by `</s>`; kept in the
    cache folder.

    Raises:
        UsageError: the file is no unigram model of sentencepiece.
        MissingDependency: the package `tokenizers` is not installed.
    """
    kept = cache.entry("tokenizers", cache.digest(path), cache.digest(Path(__file__)))
    found = kept and cache.find(kept, ".json")
    if found:
        return found
    tokenizer = _tokenizer(path)
    fresh = kept and cache.scratch(kept)
    if kept and fresh:
        tokenizer.save(str(fresh))
        cache.keep(fresh, kept, ".json")
        found = cache.find(kept, ".json")
    if found is None:
        found = disk.scratch() / "tokenizer.json"
        tokenizer.save(str(found))
    return found


def _tokenizer(path: Path) -> Any:
    try:
        from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    except ImportError as exc:
        raise MissingDependency(f"text is tokenized with tokenizers: {exc}", "pip install 'torchport[text]'") from exc
    try:
        pieces, kind, charsmap, prefix = _read(path.read_bytes())
        unknown = next(number for number, piece in enumerate(pieces) if piece.kind == _UNKNOWN)
    except (ValueError, IndexError, struct.error, UnicodeDecodeError, StopIteration) as exc:
        raise UsageError(
            f"tokenizer: {path.name} is not a sentencepiece model",
            "give a tokenizer.json, or the .spm file the model was trained with",
        ) from exc
    if kind != _UNIGRAM:
        raise UsageError(
            f"tokenizer: {path.name} is not a unigram model",
            "save the tokenizer as tokenizer.json, with Hugging Face's fast tokenizers",
        )
    names = {_CONTROL: "{} ", _UNKNOWN: UNKNOWN}
    vocabulary = [(names.get(piece.kind, "{}").format(piece.text), piece.score) for piece in pieces]
    tokenizer = Tokenizer(
        models.Unigram(vocabulary, unk_id=unknown, byte_fallback=any(piece.kind == _BYTE for piece in pieces))
    )
    compiled = [normalizers.Precompiled(charsmap)] if charsmap else []
    tokenizer.normalizer = normalizers.Sequence(
        [*compiled, normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always" if prefix else "never", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always" if prefix else "never")]
    )
    end = next((number for number, piece in enumerate(pieces) if piece.text == "</s>"), None)
    if end is not None:
        tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    return tokenizer


def _read(raw: bytes) -> tuple[list[Piece], int, bytes, bool]:
    """(pieces, model type, compiled normaliser, whether a space is put before a text) of a ModelProto."""
    pieces, kind, charsmap, prefix = [], _UNIGRAM, b"", True
    for number, value in _fields(raw):
        if number == 1:  # pieces: SentencePiece
            own = dict(_fields(value))
            pieces.append(
                Piece(own[1].decode("utf-8"), struct.unpack("<f", own[2])[0] if 2 in own else 0.0, own.get(3, _NORMAL))
            )
        elif number == 2:  # trainer_spec: TrainerSpec
            kind = dict(_fields(value)).get(3, _UNIGRAM)
        elif number == 3:  # normalizer_spec: NormalizerSpec
            own = dict(_fields(value))
            charsmap, prefix = own.get(2, b""), bool(own.get(3, True))
    if not pieces:
        raise ValueError("no pieces")
    return pieces, kind, charsmap, prefix


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of a message's fields: an int for a varint, else the bytes."""
    place = 0
    while place < len(raw):
        key, place = _varint(raw, place)
        wire = key & 7
        if wire == 0:
            value, place = _varint(raw, place)
            yield key >> 3, value
            continue
        if wire == 2:
            size, place = _varint(raw, place)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if place + size > len(raw):
            raise ValueError("cut off")
        yield key >> 3, raw[place : place + size]
        place += size


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
