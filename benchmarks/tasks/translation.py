"""Firefox's small translators between English and Portuguese, on 150 sentences of Django's own translations.

Identical is the same tokens. Eager is plain PyTorch's greedy loop over batches of 16 in the order of the data,
sentencepiece on both ends; deployed is one `Predictor.predict` of a text whose lines are the sentences. BLEU is
sacrebleu's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import marian
import sacrebleu
import sentencepiece
import torch
from row import FEW, Row, passed, speedup

import torchport
from torchport.predict import Predictor

TARGETS = ("executorch", "onnx", "openvino", "torchscript")
BATCH = 16
DEPLOYED_ON = 20
"""Pairs that the variants are verified on: the figures of the row are of all."""

ALONE = 30
"""Sentences that are timed one by one as well."""


def rows(short: bool) -> list[Row]:
    """A row for each direction."""
    torch.set_num_threads(1)
    return [_row(direction, 8 if short else 150, short) for direction in marian.DIRECTIONS]


def plain(
    model: marian.Marian, words: sentencepiece.SentencePieceProcessor, texts: Sequence[str], batch: int = BATCH
) -> list[list[int]]:
    """Greedy answers by PyTorch and sentencepiece alone, each batch padded to its longest text."""
    answers = []
    for start in range(0, len(texts), batch):
        rows = [torch.tensor([*words.encode(text), marian.END]) for text in texts[start : start + batch]]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=marian.END)
        mask = torch.nn.utils.rnn.pad_sequence(
            [torch.ones_like(row, dtype=torch.bool) for row in rows], batch_first=True
        )
        answers += model.translate(ids, mask)
    return answers


def _row(direction: str, count: int, short: bool) -> Row:
    pairs = [pair if direction == "enpt" else pair[::-1] for pair in marian.pairs()[:count]]
    texts, references = [text for text, _ in pairs], [reference for _, reference in pairs]
    raw = "\n".join(texts).encode()
    model, words = (
        marian.load(direction),
        sentencepiece.SentencePieceProcessor(model_file=str(marian.vocabulary(direction))),
    )
    with TemporaryDirectory() as folder:
        data = marian.write_pairs(Path(folder) / "pairs.csv", direction, DEPLOYED_ON)
        source = f"{marian.__file__}:{'_'.join(marian.DIRECTIONS[direction])}"
        outcome = torchport.deploy(
            source,
            f"{folder}/x.tport",
            task="translation",
            data=data,
            settings={"tokenizer": str(marian.vocabulary(direction))},
            targets=FEW if short else TARGETS,
            recipes=["fp32"],
        )
        with Predictor(f"{folder}/x.tport", threads=1) as predictor:

            def eager(batch: int, many: int | None = None) -> list[str]:
                return [words.decode(ids) for ids in plain(model, words, texts[:many], batch)]

            answer, expected = predictor.predict(raw), plain(model, words, texts)
            ratio = speedup(lambda: eager(BATCH), lambda: predictor.predict(raw), 1 if short else 5)
            alone = speedup(
                lambda: eager(1, ALONE),
                lambda: [predictor.predict(text.encode()) for text in texts[:ALONE]],
                1 if short else 3,
            )
            variant = predictor.variant.id
    said, deployed = [words.decode(ids) for ids in expected], answer["text"].split("\n")
    notes: dict[str, float | str] = {
        "variant": variant,
        "eager sentences/s": count / ratio[0],
        "deployed sentences/s": count / ratio[1],
        "one sentence at a time": alone[2],
    }
    notes |= {
        "chrF, eager": sacrebleu.corpus_chrf(said, [references]).score,
        "chrF": sacrebleu.corpus_chrf(deployed, [references]).score,
    }
    same = sum(one == list(other) for one, other in zip(expected, answer["tokens"], strict=True))
    targets = passed(outcome)
    metrics = (sacrebleu.corpus_bleu(out, [references]).score for out in (said, deployed))
    return Row(
        "translation",
        f"Firefox tiny ({direction})",
        f"Django, {count} sentences",
        "BLEU",
        *metrics,
        same,
        count,
        ratio[2],
        targets,
        notes,
    )
