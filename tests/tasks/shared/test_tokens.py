"""Text to token ids: against Hugging Face's own cutting and padding, and what a long or odd text costs."""

from __future__ import annotations

import time

import minilm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from torchport.errors import UsageError
from torchport.tasks.facts import read
from torchport.tasks.shared import tokens
from torchport.testing.samples import _words

LENGTH = 24


def checked(**given):
    return tokens.check(read(tokens.TextFacts, given))


@pytest.fixture(scope="module")
def facts():
    return checked(tokenizer=str(minilm.folder()), max_length=str(LENGTH))


@pytest.fixture(scope="module")
def theirs():
    """The tokenizer as its maker's library cuts, over the whole text."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(minilm.folder() / "tokenizer.json"))
    made.no_padding()
    made.enable_truncation(LENGTH)
    return made


@settings(max_examples=60, deadline=None)
@given(
    text=st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.text("ab c你好 \n", max_size=3000)
    )
)
def test_as_the_whole_text_would_be_tokenized(text, facts, theirs):
    assert tokens.ids(text, facts) == theirs.encode(text).ids


def test_blanks_are_read_over(facts, theirs):
    text = " " * 5000 + "word " * 3 + "\n" * 5000 + "goal " * 100
    assert tokens.ids(text, facts) == theirs.encode(text).ids


def test_a_long_text_costs_what_its_beginning_does(facts):
    start = time.process_time()
    assert len(tokens.ids("antidisestablishmentarianism " * 400_000, facts)) == LENGTH
    assert time.process_time() - start < 2  # tokenizing all of it takes about a minute


def test_lengths_are_multiples_and_end_at_the_greatest(facts):
    made = tokens.encode(["one", "one two three four five six seven eight nine"], facts)
    assert made.ids.shape == made.mask.shape == (2, 16) and made.ids.dtype == made.mask.dtype == np.int64
    assert made.mask.sum(1).tolist() == [3, 11] and (made.ids[0, 3:] == 0).all()
    assert tokens.encode(["word " * 100], facts).ids.shape == (1, LENGTH)
    assert tokens.encode(["word " * 9], replace(facts, pad_to=10)).ids.shape == (1, 20)


def test_chinese_is_a_token_a_character(tmp_path):
    facts = checked(tokenizer=str(_words.tokenizer(tmp_path)))
    assert tokens.ids("球队赢", facts) == [
        2,
        _words.WORDS.index("球"),
        _words.WORDS.index("队"),
        _words.WORDS.index("赢"),
        3,
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokenizer": None}, "there is no tokenizer"),
        ({"tokenizer": "/no/such/folder"}, "there is no /no/such/folder"),
        ({"max_length": "2"}, "leaves no room beside the 2 tokens"),
        ({"max_length": "many"}, "max_length is 'many'; it takes a whole number"),
        ({"pad_to": 0}, "pad_to is 0; it takes a whole number"),
    ],
)
def test_what_does_not_fit_is_said(given, message):
    with pytest.raises(UsageError, match=message):
        checked(**{"tokenizer": str(minilm.folder()), **given})


def test_a_file_that_is_no_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match=r"tokenizer\.json is not a tokenizer"):
        checked(tokenizer=str(tmp_path))
