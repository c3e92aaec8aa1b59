"""The facts of a model that hears speech: a Whisper, or one of connectionist temporal classification (CTC)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from ...errors import UsageError
from ..facts import Facts, Mark, Reads
from ..kinds import MOST
from . import tokens


def read_vocabulary(value: Any) -> list[str] | None:
    """Symbols in the order of the model's outputs: a list, a `vocab.json` (symbol -> index), or a text file with one
    symbol a line.

    Raises:
        UsageError: the file cannot be read, or indices are missing.
    """
    if isinstance(value, list | tuple):
        return list(map(str, value)) if value else None
    path = Path(str(value))
    try:
        content = path.read_text(encoding="utf-8")
        known = json.loads(content) if path.suffix == ".json" else content.rstrip("\n").split("\n")
    except (OSError, ValueError) as exc:
        raise UsageError(
            f"vocabulary: '{value}' cannot be read", "give a vocab.json, or a text file with one symbol a line"
        ) from exc
    if isinstance(known, list):
        return list(map(str, known))
    if not isinstance(known, dict) or sorted(known.values()) != list(range(len(known))):
        raise UsageError(
            f"vocabulary: '{value}' does not number its symbols from 0 on",
            "give the vocab.json that the model was trained with",
        )
    return sorted(known, key=known.__getitem__)


class HearingFacts(Facts, frozen=True, kw_only=True):
    """What a model was trained with, and what it told at deploy."""

    tokenizer: Annotated[
        Path | None,
        "Of a Whisper: path of its tokenizer.json, or of the folder that holds it; required unless the "
        "source states it.",
        Reads(tokens.find),
    ] = None
    vocabulary: Annotated[
        tuple[str, ...] | None,
        "Of a CTC model: its symbols in the order of its outputs, as a list, a vocab.json, or a file "
        "with one a line; required unless the source states it.",
        Reads(read_vocabulary),
    ] = None
    blank: Annotated[int, Meta(ge=0, le=10**6), "Of a CTC model: index of the symbol that is none."] = 0
    sampling_rate: Annotated[
        int,
        Meta(ge=1000, le=192_000),
        "Samples a second (Hz) that the model was trained on; recordings are resampled to it.",
    ] = 16000
    bands: Annotated[
        int, Meta(ge=1, le=512), "Of a Whisper: mel bands, from 0 Hz to half of sampling_rate; the model states them."
    ] = 80
    frame: Annotated[int, Meta(ge=2, le=65_536), "Of a Whisper: samples of one Fourier transform."] = 400
    hop: Annotated[int, Meta(ge=1, le=65_536), "Of a Whisper: samples between two Fourier transforms."] = 160
    normalise: Annotated[bool, "Of a CTC model: whether samples are brought to mean 0 and variance 1 first."] = True
    window: Annotated[
        float, Meta(ge=0.1, le=3600), "Of a CTC model: most seconds heard at once; a Whisper states its own."
    ] = 20.0
    timestamps: Annotated[bool, "Of a Whisper: whether it speaks time stamps too.", Mark.AT_PREDICT] = False
    language: Annotated[
        str | None,
        "Of a Whisper for many languages: what is spoken, as its tokenizer names it (en, de, ...); "
        "none: heard from the recording.",
        Mark.AT_PREDICT,
    ] = None
    silence: Annotated[
        float, Meta(ge=-200, le=0), "Decibels of full scale: what is never louder is not heard.", Mark.AT_PREDICT
    ] = -60.0
    family: Annotated[Literal["", "whisper", "ctc"], "Which of the two it is.", Mark.TOLD] = ""
    window_samples: Annotated[int, Meta(ge=0, le=MOST), "Most samples heard at once.", Mark.TOLD] = 0
    prompt: Annotated[tuple[int, ...], "Tokens that a Whisper starts from.", Mark.TOLD] = ()
    no_timestamps: Annotated[tuple[int, ...] | None, "Tokens that ask for no time stamps.", Mark.TOLD] = None
    stamps: Annotated[int | None, "The first token that is a time stamp; none: there is none.", Mark.TOLD] = -1
    end: Annotated[int, "Token that ends a window.", Mark.TOLD] = -1
    languages: Annotated[dict[str, int] | None, "Token of each language that a Whisper knows.", Mark.TOLD] = None
    first_stamp: Annotated[int, "Latest first time stamp.", Mark.TOLD] = 0
    most_tokens: Annotated[int, "Most tokens of a window.", Mark.TOLD] = 0
    cache: Annotated[tuple[int, ...], "Rows, heads and width of the decoder's cache.", Mark.TOLD] = ()
