"""Connectionist temporal classification: one symbol a frame, repeats and blanks collapsed, words with their times."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..calls import Call, Calling
from .hearing_facts import HearingFacts
from .listening import Heard, Segment

LEAST_SAMPLES = 800
"""The shortest feed: what the convolutions of wav2vec 2.0 need for two frames."""


def collapse(path: Sequence[int], blank: int) -> list[tuple[int, int, int]]:
    """(symbol, first frame, frame after the last) of every symbol that is spoken: a repeat is one, a blank none."""
    runs: list[tuple[int, int, int]] = []
    for at, symbol in enumerate(path):
        if runs and runs[-1][0] == symbol and runs[-1][2] == at:
            runs[-1] = (symbol, runs[-1][1], at + 1)
        else:
            runs.append((symbol, at, at + 1))
    return [run for run in runs if run[0] != blank]


def hear(samples: np.ndarray, facts: HearingFacts) -> Calling[str, Heard]:
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
    tick = padded.shape[1] / facts.sampling_rate / max(1, len(path))
    segments = words(collapse(path.tolist(), facts.blank), facts, tick)
    yield "".join(one.text for one in segments)
    return Heard(segments)


def words(runs: Sequence[tuple[int, int, int]], facts: HearingFacts, tick: float) -> list[Segment]:
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

    vocabulary = facts.vocabulary or ()
    for index, first, last in runs:
        symbol = vocabulary[index]
        if symbol in ("|", " ") or symbol.startswith("▁"):
            close()
        symbol = symbol.lstrip("▁")
        if symbol and symbol not in ("|", " ") and not re.fullmatch(r"<[^<>]+>|\[[A-Z]+\]", symbol):
            held.append((symbol, first, last))
    close()
    return found
