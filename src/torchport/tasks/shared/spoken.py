"""Texts as they are spoken, to be compared: word for word, signs of scripts without spaces one by one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_TITLES = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint"}
_SIGNS = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, kana and Chinese characters: no spaces stand between words."""


def units(text: str) -> list[str]:
    """What is compared of a text: lower-case words without punctuation, numbers up to 999 and titles in full words;
    single signs of scripts without spaces.

    "Mr. Bell, 10 of cold-hearted clubs." -> mister bell ten of cold hearted clubs.
    """
    plain = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    plain = _SIGNS.sub(lambda sign: f" {sign[0]} ", plain)
    plain = re.sub(r"[^\w']|_", " ", plain)
    found: list[str] = []
    for word in plain.split():
        word = word.strip("'")
        found += (
            in_words(int(word))
            if word.isascii() and word.isdigit() and int(word) < 1000
            else [_TITLES.get(word, word)]
            if word
            else []
        )
    return found


def in_words(number: int) -> list[str]:
    """A number from 0 to 999 in English words."""
    if number < 20:
        return [_UNITS[number]]
    if number < 100:
        return [_TENS[number // 10], *(in_words(number % 10) if number % 10 else [])]
    return [_UNITS[number // 100], "hundred", *(in_words(number % 100) if number % 100 else [])]


def errors(heard: Sequence[str], said: Sequence[str]) -> int:
    """The least insertions, deletions and substitutions between two sequences (Levenshtein's distance)."""
    row = list(range(len(said) + 1))
    for i, one in enumerate(heard, 1):
        before, row = row, [i]
        for j, other in enumerate(said, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (one != other)))
    return row[-1]


def accuracy(heard: str, said: str) -> float:
    """1 - word error rate, not below 0; where nothing was said, 1 if nothing was heard."""
    words, wanted = units(heard), units(said)
    if not wanted:
        return float(not words)
    return max(0.0, 1 - errors(words, wanted) / len(wanted))
