"""Candidates in several languages, and the pick among them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchport.tasks.shared import keywords

TEXTS = {
    "de": (
        "Die Bundesregierung hat sich auf den neuen Haushalt geeinigt.",
        ["Bundesregierung", "neuen", "Haushalt", "geeinigt"],
    ),
    "en": (
        "Vera Drake's Bafta hope: they don't compete in the U.S. box-office.",
        ["Vera", "Drake", "Bafta", "hope", "compete", "U.S", "box-office"],
    ),
    "es": ("El gobierno aprobó la ley para las escuelas.", ["gobierno", "aprobó", "ley", "escuelas"]),
    "fr": ("L'économie de l'Europe n'est pas en récession.", ["économie", "Europe", "récession"]),
    "it": ("Il governo e l'arte della pittura sono nella città.", ["governo", "arte", "pittura", "città"]),
    "nl": ("De regering heeft een nieuwe wet voor het onderwijs.", ["regering", "nieuwe", "wet", "onderwijs"]),
    "pt": ("O governo não aprovou uma lei para as escolas.", ["governo", "aprovou", "lei", "escolas"]),
    "ru": (
        "Правительство не приняло закон об уроках, и это было так.",  # noqa: RUF001
        ["Правительство", "приняло", "закон", "уроках"],
    ),
    "zh": ("医生们使用深度学习模型来诊断疾病。", ["医生", "使用", "深度", "学习", "模型", "诊断", "疾病"]),
}


@pytest.mark.parametrize("language", keywords.LANGUAGES)
def test_the_language_is_told_and_its_stop_words_are_left_out(language):
    text, wanted = TEXTS[language]
    assert keywords.language_of(text) == language
    assert keywords.candidates(text, language, keywords.stop_words(language)) == wanted


def test_phrases_end_at_stop_words_and_punctuation():
    found = keywords.candidates(
        "machine learning for medical image analysis, deep networks", "en", keywords.stop_words("en"), most_words=3
    )
    assert {"machine learning", "medical image analysis", "deep networks"} <= set(found)
    assert not {"learning medical", "analysis deep", "learning for medical"} & set(found)
    assert "深度学习" in keywords.candidates("深度学习模型", "zh", frozenset(), most_words=2)


def test_words_count_once_and_only_so_many():
    assert keywords.candidates("Goal GOAL goal, match", "en", frozenset()) == ["Goal", "match"]
    assert keywords.candidates(" ".join(f"word{chr(97 + i)}" for i in range(20)), "en", frozenset(), at_most=5) == [
        f"word{c}" for c in "abcde"
    ]
    assert keywords.candidates("the of 42 !", "en", keywords.stop_words("en")) == []


@given(st.text(max_size=300))
def test_any_text_has_candidates_that_are_in_it(text):
    plain = keywords._plain(text)
    for word in keywords.candidates(text, "en", frozenset()):
        assert word in plain and len(word) <= keywords.LONGEST_WORD


def test_a_megabyte_of_one_word_is_no_trouble():
    start = time.process_time()
    for text in ("a" * 2**20, "a'" * 2**19, "词" * 2**16):
        keywords.candidates(text, keywords.language_of(text), frozenset())
    assert time.process_time() - start < 10


def test_diversity_avoids_what_is_near_another_keyword():
    among = np.array([[1, 0], [0.999, 0.0447], [0, 1]], np.float32)
    similar = np.array([0.9, 0.8, 0.5], np.float32)
    assert keywords.pick(similar, among, 2, 0.0) == [0, 1]
    assert keywords.pick(similar, among, 2, 0.5) == [0, 2]
    assert keywords.pick(similar, among, 5, 0.5) == [0, 2, 1]
    assert keywords.pick(similar[:0], among[:0], 5, 0.5) == keywords.pick(similar[:0], among[:0], 5, 0.0) == []
