"""The sample of `keyword-extraction`: texts with the words that they are about."""

from __future__ import annotations

import json
from pathlib import Path

from . import BAD, Sample, _words

TEXTS = (
    ("The coach of the new team in the league is great, and a singer plays the piano.", "team;coach;league"),
    ("A recipe for soup with bread and pepper, and a song about the kitchen oven.", "recipe;soup;bread"),
    ("球队赢了比赛", "球队"),
)


def sample(folder: Path) -> Sample:
    """A table of JSON lines."""
    rows = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in TEXTS]
    (folder / "texts.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    settings = {"tokenizer": str(_words.tokenizer(folder)), "max_length": 32, "top": 3, "diversity": 0.2, "words": 2}
    return Sample(
        "keyword-extraction", _words.Encoder().eval(), folder / "texts.jsonl", settings, bad=(*BAD, b" \n\t ")
    )
