"""The sample of `embedding`: a sentence a file."""

from __future__ import annotations

from pathlib import Path

from . import BAD, Sample, _words


def sample(folder: Path) -> Sample:
    """Text files of one sentence each."""
    texts = folder / "texts"
    texts.mkdir()
    for i, (text, _) in enumerate(_words.SENTENCES):
        (texts / f"{i}.txt").write_text(text, encoding="utf-8")
    settings = {"tokenizer": str(_words.tokenizer(folder)), "max_length": 32}
    return Sample("embedding", _words.Encoder().eval(), texts, settings, bad=(*BAD, b" \n\t "))
