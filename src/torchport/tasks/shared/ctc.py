"""Connectionist temporal classification: one symbol a frame, repeats and blanks collapsed, words with their times."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ..calls import Call, Calling
from ..parts import Facts
from .listening import Heard, Segment

LEAST_SAMPLES = 800
"""The shortest feed: what the convolutions of wav2vec 2.0 need for two frames."""


def vocabulary(value: Any) -> list[str] | None:
    """Symbols in the order of the model's outputs: a list, a `vocab.json` (symbol -> index), or a text file with one
    symbol a line.

    Raises:
        UsageError: the file cannot be read, or indices are missing.
    """
    if value is None or isinstance(value, list | tuple):
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


def collapse(path: Sequence[int], blank: int) -> list[tuple[int, int, int]]:
    """(symbol, first frame, frame after the last) of every symbol that is spoken: a repeat is one, a blank none."""
    runs: list[tuple[int, int, int]] = []
    for at, symbol in enumerate(path):
        if runs and runs[-1][0] == symbol and runs[-1][2] == at:
            runs[-1] = (symbol, runs[-1][1], at + 1)
        else:
            runs.append((symbol, at, at + 1))
    return [run for run in runs if run[0] != blank]


def hear(samples: np.ndarray, facts: Facts) -> Calling[str, Heard]:
    """The words of one window, each with its times; a vocabulary without a sign between words makes one segment a
    symbol run.

    Args:
        samples: float32 [n].

    Yields:
        A call of `model`, and the text.
    """
    padded = np.zeros((1, max(len(samples), LEAST_SAMPLES)), np.float32)
    padded[0, : len(samples)] = samples
    path = (yield Call("model", {"samples": padded}))["tokens"][0]
    tick = padded.shape[1] / facts["sampling_rate"] / max(1, len(path))
    segments = words(collapse(path.tolist(), facts["blank"]), facts, tick)
    yield "".join(one.text for one in segments)
    return Heard(segments)


def words(runs: Sequence[tuple[int, int, int]], facts: Facts, tick: float) -> list[Segment]:
    """Segments from spoken symbols: a word each where the vocabulary has a sign between words (`|`, a space, or a
    leading `▁`), else all in one.
    """
    found: list[Segment] = []
    held: list[tuple[str, int, int]] = []

    def close() -> None:
        if held:
            text = "".join(symbol for symbol, _, _ in held)
            found.append(Segment(held[0][1] * tick, held[-1][2] * tick, f" {text}"))
            held.clear()

    for index, first, last in runs:
        symbol = facts["vocabulary"][index]
        if symbol in ("|", " ") or symbol.startswith("▁"):
            close()
        symbol = symbol.lstrip("▁")
        if symbol and symbol not in ("|", " ") and not re.fullmatch(r"<[^<>]+>|\[[A-Z]+\]", symbol):
            held.append((symbol, first, last))
    close()
    return found
