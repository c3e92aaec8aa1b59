"""Candidates for keywords: the words of a text, or runs of them, that say something in its language; and the pick among
them.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import MissingDependency
from ...system.noise import quiet

LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pt", "ru", "zh")
"""Languages with a list of stop words, `data/stopwords/<language>.txt`."""

CHINESE = "zh"
NEAR_CHINESE = 0.3
"""The least share of Han characters among a text's letters that makes it Chinese, where there are no Japanese
syllables.
"""

LONGEST_WORD = 40
"""Runs of more letters are addresses, codes, or a language written without spaces that nothing here can segment."""

_WORD = re.compile(r"[^\W\d_][^\W_]*(?:[-'.&][^\W_]+)*")
_ELIDED = re.compile(r"[^\W\d_][^\W_]*(?:[-.&][^\W_]+)*")
_ELIDING = ("fr", "it")
"""In these an apostrophe ends a word: l'Europe, dell'arte."""

_SENTENCE = re.compile("[^。!?\\n]{1,512}|[。!?\\n]+")
"""What is segmented at once: jieba's time and memory grow with the square of it where it knows none of the words."""

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_KANA = re.compile(r"[\u3040-\u30ff]")


def language_of(text: str) -> str:
    """The language among `LANGUAGES` whose stop words a text has most of; `en` where it has none of any.

    Chinese is told by its characters. The beginning of the text, 4000 characters, decides.
    """
    head = text[:4000]
    letters = sum(char.isalpha() for char in head)
    if letters and len(_HAN.findall(head)) >= NEAR_CHINESE * letters and not _KANA.search(head):
        return CHINESE
    words = [word.casefold() for word in _ELIDED.findall(_plain(head))]
    found = {
        language: sum(word in stop_words(language) for word in words) for language in LANGUAGES if language != CHINESE
    }
    best = max(found, key=lambda language: (found[language], language == "en"))
    return best if found[best] else "en"


@functools.lru_cache(maxsize=len(LANGUAGES))
def stop_words(language: str) -> frozenset[str]:
    """The stop words of one of `LANGUAGES`, lower case."""
    from importlib.resources import files

    return frozenset(
        files("torchport").joinpath("data", "stopwords", f"{language}.txt").read_text(encoding="utf-8").split()
    )


def candidates(text: str, language: str, stop: frozenset[str], most_words: int = 1, at_most: int = 512) -> list[str]:
    """Different runs of 1 to `most_words` words of a text in the order of their first place, at most `at_most`.

    A run ends at a stop word (`stop`, lower case), a number or punctuation; upper and lower case are the same, and what
    was written first is kept. Words of one letter count in Chinese only, words of more than `LONGEST_WORD` not at all.

    Raises:
        MissingDependency: the text is Chinese, and jieba is not installed.
    """
    found: dict[str, str] = {}
    space = "" if language == CHINESE else " "
    for run in _runs(_plain(text), language, stop):
        for start in range(len(run)):
            for end in range(start + 1, min(start + most_words, len(run)) + 1):
                phrase = space.join(run[start:end])
                found.setdefault(phrase.casefold(), phrase)
                if len(found) == at_most:
                    return list(found.values())
    return list(found.values())


def pick(similar: np.ndarray, among: np.ndarray, top: int, diversity: float) -> list[int]:
    """Indices of at most `top` candidates by maximal marginal relevance (Carbonell and Goldstein, 1998), the best
    first.

    Each next one has the greatest (1 - diversity) * (how near it is to the text) - diversity * (how near to any picked
    one).

    Args:
        similar: float32 [candidates], cosines with the text.
        among: float32 [candidates, width], the candidates' vectors of length 1; only used where there is diversity.
        diversity: 0 picks by nearness to the text alone.
    """
    if not diversity:
        return [int(i) for i in np.argsort(-similar, kind="stable")[:top]]
    picked: list[int] = []
    nearest = np.zeros(len(similar), np.float32)
    for _ in range(min(top, len(similar))):
        worth = (1 - diversity) * similar - diversity * nearest
        worth[picked] = -np.inf
        picked.append(int(np.argmax(worth)))
        cosines = among @ among[picked[-1]]
        nearest = cosines if len(picked) == 1 else np.maximum(nearest, cosines)
    return picked


def _plain(text: str) -> str:
    """Letters as they are usually written, and one kind of apostrophe."""
    return unicodedata.normalize("NFKC", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def _runs(text: str, language: str, stop: frozenset[str]) -> Iterator[list[str]]:
    """Words that follow each other with neither a stop word nor punctuation between them."""
    run, end = list[str](), 0
    for word, start in _segments(text) if language == CHINESE else _spaced(text, language):
        if text[end:start].strip():
            yield run
            run = []
        end = start + len(word)
        stem = word[:-2] if word[-2:] in ("'s", "'S") else word
        if _tells(stem, language) and not {word.casefold(), stem.casefold()} & stop:
            run.append(stem)
        else:
            yield run
            run = []
    yield run


def _spaced(text: str, language: str) -> Iterator[tuple[str, int]]:
    pattern = _ELIDED if language in _ELIDING else _WORD
    return ((found[0], found.start()) for found in pattern.finditer(text))


def _segments(text: str) -> Iterator[tuple[str, int]]:
    for part in _SENTENCE.finditer(text):
        at = part.start()
        for word in _jieba().cut(part[0]):
            if _WORD.fullmatch(word):
                yield word, at
            at += len(word)


def _tells(word: str, language: str) -> bool:
    return (len(word) > 1 or language == CHINESE) and len(word) <= LONGEST_WORD


@functools.lru_cache(maxsize=1)
def _jieba() -> Any:
    """jieba's segmenter with its own dictionary, which neither reads nor leaves a cache in the folder that all users
    share.
    """
    try:
        with quiet():  # its regular expressions and pkg_resources
            import jieba
    except ImportError as exc:
        raise MissingDependency(f"Chinese is segmented with jieba: {exc}", "pip install 'torchport[text]'") from exc
    segmenter = jieba.Tokenizer()
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter
