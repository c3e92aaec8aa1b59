"""Firefox's English to Portuguese translator: chosen on 60 phrases of Django's translations, tested on 150 sentences.

The metric is sacrebleu's BLEU over the whole test set; the interval is that of paired bootstrap resampling.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import marian
import sacrebleu
from points import deploy, over_test_set
from row import Row

from torchport.predict import Predictor

SELECT = 60
RECIPES = ("fp32", "int8_weights", "int8_dynamic")


def rows(short: bool) -> list[Row]:
    """`small`."""
    test, chosen_on = marian.pairs()[: 10 if short else None], marian.phrases()[: 10 if short else SELECT]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = deploy(
            f"{marian.__file__}:en_pt",
            folder,
            task="translation",
            settings={"tokenizer": str(marian.vocabulary("enpt"))},
            data=marian.table(chosen_on, folder / "selection.csv"),
            targets=("onnx", "openvino"),
            recipes=("fp32", "int8_weights") if short else RECIPES,
            budget="accuracy<=1pt",
        )
        winner = made.winner("small")
        references = [portuguese for _, portuguese in test]
        before, after = (
            _translated(made.bundle, variant, [english for english, _ in test]) for variant in (made.base.id, winner.id)
        )

        def bleu(picked: Sequence[int]) -> tuple[float, float]:
            told = [[references[i] for i in picked]]
            return sacrebleu.corpus_bleu([before[i] for i in picked], told).score, sacrebleu.corpus_bleu(
                [after[i] for i in picked], told
            ).score

        row = over_test_set(
            "marian-enpt",
            made,
            "small",
            winner,
            "BLEU",
            bleu,
            len(test),
            sum(a == b for a, b in zip(before, after, strict=True)) / len(test),
        )
        row.notes.update(
            {
                f"chrF{which}": sacrebleu.corpus_chrf(said, [references]).score
                for which, said in ((", fp32", before), ("", after))
            }
        )
        return [row]


def _translated(bundle: Path, variant: str, texts: Sequence[str]) -> list[str]:
    with Predictor(bundle, variant=variant) as predictor:
        answer: str = predictor.predict("\n".join(texts).encode())["text"]
    return answer.split("\n")
