"""The sample of `text-classification`: sentences of three topics, told apart by their words."""

from __future__ import annotations

import csv
from pathlib import Path

from . import BAD, Sample, _words


def sample(folder: Path) -> Sample:
    """A table with the columns text and label."""
    with (folder / "sentences.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *_words.SENTENCES])
    settings = {"tokenizer": str(_words.tokenizer(folder)), "labels": list(_words.TOPICS), "max_length": 32}
    return Sample(
        "text-classification", _words.Classifier().eval(), folder / "sentences.csv", settings, bad=(*BAD, b" \n\t ")
    )
