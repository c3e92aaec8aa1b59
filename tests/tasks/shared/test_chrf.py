"""chrF of one sentence, against sacrebleu."""

from __future__ import annotations

import pytest
from sacrebleu.metrics import CHRF

from torchport.tasks.shared import chrf

PAIRS = [
    ("Esse número de página não é um número inteiro", "Esse número de página não é um inteiro"),
    ("Insira um valor válido.", "Informe um valor válido."),
    ("今天天气很好。", "今天天气真好。"),
    ("abc", "xyz"),
    ("a", "a"),
    ("", "word"),
]


@pytest.mark.parametrize(("text", "reference"), PAIRS)
def test_equals_sacrebleu(text, reference):
    assert chrf.score(text, reference) == pytest.approx(
        CHRF(eps_smoothing=False).sentence_score(text, [reference]).score / 100, abs=1e-6
    )


def test_the_same_text_is_one_and_blanks_do_not_count():
    assert chrf.score("两个 词", "两个词") == 1.0
