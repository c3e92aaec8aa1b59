"""Sentencepiece models as tokenizer.json: the same ids, token by token."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer

from torchport.errors import UsageError
from torchport.system import cache
from torchport.tasks.shared import unigram_file

TEXTS = [
    "the cat sat on the mat",
    "a  double   space ",
    "</s> is no end",
    "今天天气很好。",
    "ﬁne ＡＢＣ ½",  # noqa: RUF001
    "e\u0301te\u0301",
    "tab\tand\nline",
    "▁ underline",
    "😀",
    "<unk> <s>",
]


def trained(kind: str, **options: object) -> bytes:
    model = io.BytesIO()
    lines = iter(
        [
            "the cat sat on the mat",
            "the dog sat on the cat",
            "a fine day, is it not?",
            "今天天气很好",
            "every line has an end",
        ]
        * 20
    )
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_writer=model,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
        **{"vocab_size": 72, **options},
    )
    return model.getvalue()


@pytest.fixture(scope="module")
def unigram() -> bytes:
    return trained("unigram")


@pytest.mark.parametrize("text", TEXTS)
def test_ids_and_texts_are_those_of_sentencepiece(unigram, tmp_path, text):
    (tmp_path / "vocab.spm").write_bytes(unigram)
    theirs, ours = (
        sentencepiece.SentencePieceProcessor(model_proto=unigram),
        Tokenizer.from_file(str(unigram_file.convert(tmp_path / "vocab.spm"))),
    )
    assert ours.encode(text).ids == [*theirs.encode(text), theirs.eos_id()]
    assert ours.decode(theirs.encode(text)) == theirs.decode(theirs.encode(text))


def test_bytes_stand_for_what_has_no_piece(tmp_path):
    raw = trained("unigram", byte_fallback=True, character_coverage=0.98, vocab_size=300)  # 256 of them are bytes
    (tmp_path / "vocab.spm").write_bytes(raw)
    theirs, ours = (
        sentencepiece.SentencePieceProcessor(model_proto=raw),
        Tokenizer.from_file(str(unigram_file.convert(tmp_path / "vocab.spm"))),
    )
    for text in TEXTS:
        assert ours.encode(text).ids[:-1] == theirs.encode(text)
    assert ours.decode(ours.encode("so 😀 cat").ids[:-1]) == "so 😀 cat"


def test_a_conversion_is_kept_and_not_needed(unigram, tmp_path, monkeypatch):
    (tmp_path / "vocab.spm").write_bytes(unigram)
    assert unigram_file.convert(tmp_path / "vocab.spm") == unigram_file.convert(tmp_path / "vocab.spm")
    monkeypatch.setattr(cache, "folder", lambda: None)
    assert unigram_file.convert(tmp_path / "vocab.spm").read_bytes()


def test_other_files_are_refused(unigram, tmp_path):
    path = tmp_path / "vocab.spm"
    for raw in (b"", b"no such thing", unigram[:-5], trained("bpe"), b"\x08" + b"\xff" * 20):
        path.write_bytes(raw)
        with pytest.raises(UsageError, match=r"vocab\.spm is no"):
            unigram_file.convert(Path(path))
