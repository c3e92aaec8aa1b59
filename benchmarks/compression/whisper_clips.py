"""Whisper tiny.en: chosen on three synthetic recordings, tested on ten of people, 92 words.

The metric is jiwer's word error rate over all words, spelled as they are spoken; the interval is that of paired
bootstrap resampling over recordings (Bisani and Ney 2004), which sees nothing where no transcript changes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import jiwer
import whisper_tiny_en
from cached import package
from points import deploy, over_test_set
from row import Row

from torchport.predict import Predictor
from torchport.tasks.shared.spoken import units

RECIPES = ("fp32", "bf16", "bf16_stateless", "int8_dynamic", "int8_dynamic+bf16", "int8_weights", "int8_weights+bf16")


def rows(short: bool) -> list[Row]:
    """`fast`."""
    clips = whisper_tiny_en.clips()[: 2 if short else 10]
    with tempfile.TemporaryDirectory() as name:
        made = deploy(
            str(whisper_tiny_en.folder()),
            name,
            task="speech-recognition",
            data=package("pytest_audioeval") / "samples" / "audio" / "en",
            targets=("onnx", "openvino"),
            recipes=("fp32", "int8_weights") if short else RECIPES,
            budget="accuracy<=10pt",
        )
        winner = made.winner("fast")
        said = [" ".join(units(text)) for _, text in clips]
        before, after = (
            _heard(made.bundle, variant, [path for path, _ in clips]) for variant in (made.base.id, winner.id)
        )

        def errors(picked: Sequence[int]) -> tuple[float, float]:
            told = [said[i] for i in picked]
            return float(jiwer.wer(told, [before[i] for i in picked])), float(
                jiwer.wer(told, [after[i] for i in picked])
            )

        agreement = sum(a == b for a, b in zip(before, after, strict=True)) / len(clips)
        row = over_test_set(
            "whisper-tiny-en", made, "fast", winner, "WER", errors, len(clips), agreement, larger_is_better=False
        )
        words = sum(len(text.split()) for text in said)
        row.notes.update({"words": float(words), "more wrong words": round(row.loss * words, 3)})
        return [row]


def _heard(bundle: Path, variant: str, paths: Sequence[Path]) -> list[str]:
    with Predictor(bundle, variant=variant) as predictor:
        return [" ".join(units(predictor.predict(path)["text"])) for path in paths]
